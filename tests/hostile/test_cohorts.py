"""What is wrong with a table or a folder of patients is named; one person is never two patients."""

import gzip
import json
import os
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tests.hostile.conftest import AFFINE, MODALITIES, SHAPE, TUMOUR_ML, image_of, label_of
from workflow_scripts.cohort.brats import brats_cases
from workflow_scripts.cohort.inspection import inspect_cases
from workflow_scripts.cohort.msd import msd_cases
from workflow_scripts.cohort.table import table_cases
from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.nifti import save_nifti


def read(table):
    return inspect_cases(table_cases(table, None, "brats2015", MODALITIES), None, "stop")[0]


HEAD = "patient_id\tflair\tt1ce\tlabel"
ROW = "a\tx\ty\tz"
BAD_TABLES = {
    "a column twice": (f"{HEAD}\tlabel\n{ROW}\tz", "has the column 'label' twice"),
    "Subject": (f"{HEAD}\tSubject\n{ROW}\ts", "column 'Subject' would not be read.*'subject'"),
    "subjects": (f"{HEAD}\tsubjects\n{ROW}\ts", "call it 'subject'"),
    "T1": (f"{HEAD}\tT1\n{ROW}\ts", "column 'T1' would not be read; call it 't1'"),
    "brainmask": (f"{HEAD}\tbrainmask\n{ROW}\ts", "call it 'brain_mask'"),
    "no label": ("patient_id\tflair\tt1ce\na\tx\ty", "no column label"),
    "other case": ("patient_id\tFLAIR\tt1ce\tlabel\na\tx\ty\tz", "'FLAIR' meant for 'flair'"),
    "commas": (HEAD.replace("\t", ",") + "\n" + ROW.replace("\t", ","), "no column patient_id"),
    "no rows": (HEAD, "has no rows"),
    "rows of tabs": (HEAD + "\n\t\t\t\n\t\t\t", "has no rows"),
    "a row without a name": (f"{HEAD}\n{ROW}\n\tx\ty\tz", "line 3: is no valid patient_id"),
    "a cell too many": (f"{HEAD}\n{ROW}\tw", "cannot be read as a table"),
    "braces": (f"{HEAD}\na\t{{x}}.nii\ty\tz", r"\{x\}.nii: paths cannot hold braces"),
    "a control character": (f"{HEAD}\na\tx\0.nii\ty\tz", "flair holds a control character"),
    "nobody's home": (f"{HEAD}\na\t~nobody123/x.nii\ty\tz", "~nobody123/x.nii: does not exist"),
    "a path that is too long": (f"{HEAD}\na\t{'x' * 300}\ty\tz", "File name too long"),
    "a file missing": (f"{HEAD}\n{ROW}", "a: .*/x: does not exist"),
    "an empty cell": (f"{HEAD}\na\tx\t\tz", "a: has no t1ce"),
    "the same name": (f"{HEAD}\n{ROW}\n{ROW}", "a: is there more than once"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_table_that_cannot_be_used_is_named(tmp_path, case):
    text, words = BAD_TABLES[case]
    (tmp_path / "t.tsv").write_text(text + "\n")
    with pytest.raises(UserError, match=words):
        read(tmp_path / "t.tsv")


BAD_BYTES = {
    "UTF-16": f"{HEAD}\n{ROW}\n".encode("utf-16"),
    "bytes": b"\xff\xd8\xff\xe0",
    "nothing": b"",
    "an open quote": f'{HEAD}\n"a\tx\ty\tz\n'.encode(),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_a_file_that_is_no_table_is_named(tmp_path, case):
    (tmp_path / "t.tsv").write_bytes(BAD_BYTES[case])
    with pytest.raises(UserError, match=r"t\.tsv: cannot be read as a table"):
        read(tmp_path / "t.tsv")


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1"])
def test_a_spreadsheet_is_no_table(tmp_path, start):
    (tmp_path / "t.tsv").write_bytes(start + b"\x14\x00\x06\x00")
    with pytest.raises(UserError, match=r"t\.tsv: is a spreadsheet; save it as text.*tabs"):
        read(tmp_path / "t.tsv")


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(UserError, match="is a folder; name a file"):
        read(tmp_path)


BAD_NAMES = ["../x", "a/b", "a b", ".a", "-a", "ä", "a\\b", "a:b", "a*", "x" * 101]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_name_of_a_folder_is_refused(cohort, name):
    cohort.odd["patient_id"] = name
    with pytest.raises(UserError, match="1 of 2(.|\n)*no valid patient_id"):
        cohort.inspect()


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan", "007", "1e5", "True", "x" * 100])
def test_a_name_is_text_whatever_it_looks_like(cohort, name):
    cohort.odd["patient_id"] = name
    assert set(cohort.inspect()["patient_id"]) == {"good", name}


def test_rows_of_tabs_and_spaces_around_cells_are_passed_over(cohort):
    cohort.odd["patient_id"] = " odd "
    cohort.rows.append(dict.fromkeys(cohort.odd, ""))
    assert cohort.inspect()["patient_id"].tolist() == ["good", "odd"]


def test_other_columns_are_passed_over(cohort):
    for row in cohort.rows:
        row |= {"age": 60, "sex": "f", "site": "A", "t2": "", "t1c": "x", "t1w": "y", "NA": 1}
    assert len(cohort.inspect()) == 2


def test_a_column_without_a_name_is_passed_over(cohort):
    """As pandas writes its index, and spreadsheets empty columns."""
    text = "\tpatient_id\tflair\tt1ce\tlabel\t\t\n"
    for number, row in enumerate(cohort.rows):
        text += f"{number}\t" + "\t".join(row.values()) + "\t\t\n"
    (cohort.root / "t.tsv").write_text(text)
    assert read(cohort.root / "t.tsv")["patient_id"].tolist() == ["good", "odd"]


def test_scans_of_one_subject_are_one_patient(cohort):
    for row in cohort.rows:
        row["subject"] = "007"
    assert cohort.inspect()["patient_id"].tolist() == ["good"]


def copied(cohort):
    for kind in MODALITIES:
        cohort.file(kind).write_bytes((cohort.root / "good" / f"{kind}.nii.gz").read_bytes())


def compressed_again(cohort):
    content = gzip.decompress((cohort.root / "good" / "t1ce.nii.gz").read_bytes())
    cohort.file("t1ce").write_bytes(gzip.compress(content, 9))


def stored_otherwise(cohort):
    image = nib.load(cohort.root / "good" / "flair.nii.gz")
    nib.save(image, cohort.root / "odd" / "copy.nii")
    cohort.odd["flair"] = "odd/copy.nii"


def linked(cohort):
    cohort.file("flair").unlink()
    cohort.file("flair").symlink_to(cohort.root / "good" / "flair.nii.gz")


def linked_hard(cohort):
    cohort.file("flair").unlink()
    os.link(cohort.root / "good" / "flair.nii.gz", cohort.file("flair"))


def in_a_linked_folder(cohort):
    (cohort.root / "other").symlink_to(cohort.root / "good")
    cohort.odd |= {kind: f"other/{kind}.nii.gz" for kind in (*MODALITIES, "label")}


def by_way_of_the_parent(cohort):
    cohort.odd |= {kind: f"odd/../good/{kind}.nii.gz" for kind in (*MODALITIES, "label")}


def as_other_numbers(cohort):
    image = nib.load(cohort.root / "good" / "flair.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine), cohort.file("flair"))


def turned(cohort):
    image = nib.load(cohort.root / "good" / "flair.nii.gz")
    nib.save(nib.as_closest_canonical(image), cohort.root / "odd" / "turned.nii.gz")
    cohort.odd["flair"] = "odd/turned.nii.gz"
    for kind in ("t1ce", "label"):
        nib.save(nib.as_closest_canonical(nib.load(cohort.file(kind))), cohort.file(kind))


TWICE = [
    as_other_numbers, turned, copied, compressed_again, stored_otherwise, linked, linked_hard,
    in_a_linked_folder, by_way_of_the_parent,
]  # fmt: skip


@pytest.mark.parametrize("again", TWICE)
def test_one_person_under_two_names_is_named(cohort, again):
    again(cohort)
    with pytest.raises(UserError, match="same person|named more than once"):
        cohort.inspect()


def test_scans_of_one_subject_may_share_an_image(cohort):
    copied(cohort)
    for row in cohort.rows:
        row["subject"] = "007"
    assert cohort.inspect()["patient_id"].tolist() == ["good"]


def test_of_one_person_under_two_names_the_one_that_can_be_used_stays(cohort):
    copied(cohort)
    label = cohort.root / "good" / "label.nii.gz"
    save_nifti(0 * label_of(), nib.load(label).affine, label)
    with pytest.raises(UserError, match="1 of 2 patients(.|\n)*good: .*has no tumour"):
        cohort.inspect()


def brats_case(folder, name, seed):
    for k, kind in enumerate(("t2f", "t1c")):
        save_nifti(image_of(seed + k), nib.affines.from_matvec(-1 * label_affine()),
                   folder / f"{name}-{kind}.nii.gz")  # fmt: skip
    save_nifti(label_of(), nib.affines.from_matvec(-1 * label_affine()),
               folder / f"{name}-seg.nii.gz")  # fmt: skip


def label_affine():
    return nib.affines.from_matvec([[1, 0, 0], [0, 1, 0], [0, 0, 2]])[:3, :3]


def test_folders_that_link_to_themselves_are_read_once(tmp_path):
    """Two such links in each of six folders are some 10^12 paths."""
    brats_case(tmp_path / "a" / "b", "BraTS-GLI-00001-000", 0)
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        for name in ("one", "two"):
            (folder / name).symlink_to(tmp_path)
    cases = brats_cases(tmp_path, MODALITIES)
    assert [case.patient_id for case in cases] == ["BraTS-GLI-00001-000"]
    assert cases[0].problems == ()


MODALITY = {"0": "FLAIR", "1": "T1gd"}
GOOD_CASE = {"image": "a.nii", "label": "b.nii"}
BAD_LISTINGS = {
    "a list": ([], "cannot be read as a Decathlon listing"),
    "a number": (1, "cannot be read as a Decathlon listing"),
    "modalities in a list": ({"modality": [], "training": []}, "cannot be read as a Decathlon"),
    "no cases": ({"modality": MODALITY, "training": []}, "names no case"),
    "cases without files": ({"modality": MODALITY, "training": [{}]}, "KeyError: 'image'"),
    "a number for a file": (
        {"modality": MODALITY, "training": [{"image": 1, "label": "b.nii"}]}, "cannot be read as"
    ),
    "an empty character": (
        {"modality": MODALITY, "training": [{"image": "a\0", "label": "b"}]}, "embedded null"
    ),
    "a file elsewhere": (
        {"modality": MODALITY, "training": [{"image": "/etc/passwd", "label": "b"}]}, "outside"
    ),
    "a folder": ({"modality": MODALITY, "training": [{"image": "", "label": ""}]}, "is a folder"),
    "a modality without number": (
        {"modality": {"x": "FLAIR", "1": "T1gd"}, "training": [GOOD_CASE]}, "invalid literal"
    ),
    "a modality twice": (
        {"modality": {**MODALITY, "2": "flair"}, "training": [GOOD_CASE]}, "a modality twice"
    ),
    "a case twice": ({"modality": MODALITY, "training": [GOOD_CASE] * 2}, "more than once"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_LISTINGS)
def test_a_listing_that_cannot_be_used_is_named(tmp_path, case):
    content, words = BAD_LISTINGS[case]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=words):
        inspect_cases(msd_cases(tmp_path, MODALITIES), None, "stop")


@pytest.mark.parametrize(
    ("text", "words"),
    [("[" * 2000, "nested|recursion"), ('{"training": 1, "training": 2}', "appears twice")],
)
def test_a_listing_that_is_no_json_is_named(tmp_path, text, words):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(UserError, match=rf"dataset\.json: is damaged.*({words})"):
        msd_cases(tmp_path, MODALITIES)


def test_every_file_of_a_patient_is_named(cohort):
    cohort.file("flair").write_bytes(b"")
    cohort.file("t1ce").unlink()
    cohort.replace("label", nib.Nifti1Image(label_of(), np.diag([-1, -1, 900, 1])))
    with pytest.raises(UserError, match="1 of 2 patients") as error:
        cohort.inspect()
    for kind, words in (("flair", "cannot be read"), ("t1ce", "does not exist"), ("label", "900")):
        assert re.search(rf"\n  odd: .*{kind}.nii.gz: .*{words}", str(error.value))


def test_all_that_is_wrong_is_said_at_once_and_the_rest_goes_on(tmp_path):
    for number in range(30):
        brats_case(tmp_path, f"BraTS-GLI-{number:05d}-000", 10 * number)

    def file(number, kind):
        return tmp_path / f"BraTS-GLI-{number:05d}-000-{kind}.nii.gz"

    file(3, "t2f").unlink()
    file(7, "t1c").write_bytes(b"")
    content = file(11, "t2f").read_bytes()
    file(11, "t2f").write_bytes(content[: len(content) // 2])
    save_nifti(0 * label_of(), nib.load(file(15, "seg")).affine, file(15, "seg"))
    file(19, "t1c").write_bytes(file(20, "t1c").read_bytes())
    cases = brats_cases(tmp_path, MODALITIES)
    with pytest.raises(UserError, match="5 of 30 patients cannot be used") as error:
        inspect_cases(cases, None, "stop")
    # Of one person under two names it is the second that is refused.
    broken = [f"BraTS-GLI-{number:05d}-000" for number in (3, 7, 11, 15, 20)]
    assert all(f"\n  {name}: " in str(error.value) for name in broken)
    table, problems = inspect_cases(cases, None, "skip")
    errors = [problem for problem in problems if problem.level == "error"]
    assert [problem.patient_id for problem in errors] == broken
    assert all(problem.remedy for problem in problems)
    # All the others have tumours of 0.02 mL, and nobody has a core.
    warnings = [problem.problem for problem in problems if problem.level == "warning"]
    assert warnings[:25] == ["the tumour has 0.02 mL"] * 25
    assert warnings[25].startswith("no patient has oedema or enhancing tumour")
    assert len(table) == 25
    assert table["volume_ml"].tolist() == pytest.approx([TUMOUR_ML] * 25)
    assert isinstance(table, pd.DataFrame)


def digest_of(cohort) -> str:
    return cohort.inspect().set_index("patient_id").loc["odd", "digest"]


def plus_one(image: nib.Nifti1Image) -> nib.Nifti1Image:
    values = np.asarray(image.dataobj).copy()
    values[2, 5, 3] += 1
    return nib.Nifti1Image(values, image.affine)


def shifted(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """Moved by so little that a label is taken all the same."""
    affine = image.affine.copy()
    affine[0, 3] += 0.01
    return nib.Nifti1Image(np.asarray(image.dataobj), affine)


def as_floats(image: nib.Nifti1Image) -> nib.Nifti1Image:
    return nib.Nifti1Image(image.get_fdata(), image.affine)


def reoriented(image: nib.Nifti1Image) -> nib.Nifti1Image:
    """The same volume with its first two axes exchanged, and one of them reversed."""
    return image.as_reoriented(np.array([[1, -1], [0, 1], [2, 1]]))


# What becomes of a file, and whether it holds something else then.
REPLACED = {
    "a value": (plus_one, True),
    "a shift": (shifted, True),
    "numbers of another kind": (as_floats, False),
    "axes in another order": (reoriented, False),
}


@pytest.mark.parametrize("kind", ["flair", "t1ce", "label"])
@pytest.mark.parametrize("case", REPLACED)
def test_the_digest_is_that_of_the_contents(cohort, case, kind):
    change, other = REPLACED[case]
    before = digest_of(cohort)
    image = nib.load(cohort.file(kind))
    cohort.replace(
        kind, change(nib.Nifti1Image(np.asarray(image.dataobj), image.affine)), "new.nii"
    )
    assert (digest_of(cohort) != before) == other


def test_the_digest_is_also_that_of_the_brain_mask(cohort):
    digests = []
    for last in (0, 1):
        mask = np.ones(SHAPE, np.uint8)
        mask[-1] = last
        cohort.replace("brain_mask", nib.Nifti1Image(mask, AFFINE))
        digests.append(digest_of(cohort))
    assert digests[0] != digests[1]


@pytest.mark.parametrize("digest", ["1234567890123456", "00000000000000e1", "", "NA"])
def test_a_digest_stays_text(tmp_path, digest):
    write_table(pd.DataFrame({"patient_id": ["a"], "digest": [digest]}), tmp_path / "table.tsv")
    assert read_table(tmp_path / "table.tsv")["digest"].tolist() == [digest]
