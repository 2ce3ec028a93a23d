"""Each layout is read, and what is wrong with a cohort is said by patient."""

import json
import os
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.cohort.inspection import inspect_cases
from workflow_scripts.cohort.list_participants import real_cases
from workflow_scripts.cohort.listing import listing_digest
from workflow_scripts.cohort.settings import CohortSettings
from workflow_scripts.common.files import UserError
from workflow_scripts.common.labels import canonical
from workflow_scripts.common.nifti import load_volume, save_nifti

MODALITIES = ["flair", "t1ce"]
SHAPE = (12, 10, 8)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
OLD = ["c_flair.nii.gz", "c_t1ce.nii.gz"]
NEW = ["c-t2f.nii.gz", "c-t1c.nii.gz"]


def small_label(*values: int) -> np.ndarray:
    """A label map with ten voxels of each value."""
    label = np.zeros(SHAPE, np.uint8)
    for row, value in enumerate(values):
        label[row + 1, :5, 3:5] = value
    return label


def small_image(seed: int | str) -> np.ndarray:
    """An image whose values are no other seed's."""
    image = np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE)
    return image + zlib.crc32(str(seed).encode()) % 10_000


@pytest.fixture
def write_case(tmp_path):
    """Function that writes images and a label under ``tmp_path``, which it returns."""

    def write(folder, names, label_name, label, affine=AFFINE):
        for name in names:
            save_nifti(small_image(f"{folder}/{name}"), AFFINE, tmp_path / folder / name)
        save_nifti(label, affine, tmp_path / folder / label_name)
        return tmp_path

    return write


def read(
    source, root=None, table=None, scheme=None, on_error="stop", modalities=MODALITIES, **changes
):
    given = {"source": source, "root": root, "table": table, "label_scheme": scheme}
    given |= {"exclude": [], **changes}
    return inspect_cases(real_cases(SimpleNamespace(**given), modalities), scheme, on_error)[0]


def test_brats_2021_names(write_case):
    root = write_case("x/deep", OLD, "c_seg.nii.gz", small_label(1, 2, 4))
    (row,) = read("brats", root).to_dict("records")
    assert row["patient_id"] == "c"
    assert row["label_scheme"] == "brats2017"
    assert row["volume_ml"] == pytest.approx(30 * 2 / 1000)
    assert row["flair"].endswith("deep/c_flair.nii.gz")
    assert row["brain_mask"] == ""


def test_brats_2023_names_flat_and_uncompressed(write_case, tmp_path):
    import nibabel as nib

    for name in ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000"):
        write_case(".", [], f"{name}-seg.nii.gz", small_label(1, 3))
        for kind in ("t2f", "t1c"):
            file = tmp_path / f"{name}-{kind}.nii"
            nib.save(nib.Nifti1Image(small_image(file.name).astype(np.float64), AFFINE), file)
    table = read("brats", tmp_path)
    assert table["patient_id"].tolist() == ["BraTS-GLI-00001-000", "BraTS-GLI-00002-000"]
    assert set(table["label_scheme"]) == {"brats2023"}


@pytest.mark.parametrize(
    ("scheme", "volumes"), [("brats2024", [0.06, 0.02]), ("brats_ped2024", [0.08, 0.02])]
)
def test_a_value_of_two_schemes_is_asked_about_and_taken_as_said(write_case, scheme, volumes):
    write_case(".", NEW, "c-seg.nii.gz", small_label(1, 2, 3, 4))
    root = write_case(".", ["d-t2f.nii.gz", "d-t1c.nii.gz"], "d-seg.nii.gz", small_label(2))
    with pytest.raises(UserError, match=r"cohort.label_scheme: c may be .*4.*brats_ped2024"):
        read("brats", root)
    table = read("brats", root, scheme=scheme)
    assert set(table["label_scheme"]) == {scheme}
    assert table["volume_ml"].tolist() == pytest.approx(volumes)


def test_paediatric_labels_are_core_oedema_and_enhancing_tumour():
    raw = np.array([0, 1, 2, 3, 4])
    assert canonical(raw, "brats_ped2024", "x").tolist() == [0, 3, 1, 1, 2]


def test_paediatric_cases_are_asked_about(write_case):
    names = ["BraTS-PED-00001-000-t2f.nii.gz", "BraTS-PED-00001-000-t1c.nii.gz"]
    root = write_case(".", names, "BraTS-PED-00001-000-seg.nii.gz", small_label(1, 2, 3))
    with pytest.raises(UserError, match="paediatric by its name"):
        read("brats", root)
    assert len(read("brats", root, scheme="brats2023")) == 1


def test_values_of_another_scheme_are_refused(write_case):
    root = write_case("other", OLD, "c_seg.nii.gz", small_label(3))
    with pytest.raises(UserError, match=r"c: .*\[3.0\].*brats2017"):
        read("brats", root / "other")


def test_only_configured_modalities_are_needed(write_case):
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    assert len(read("brats", root, modalities=["flair"])) == 1
    with pytest.raises(UserError, match="c: has no t2"):
        read("brats", root, modalities=["flair", "t2"])


def test_all_unusable_patients_are_listed_and_can_be_left_out(write_case):
    root = write_case("c", OLD[:1], "c_seg.nii.gz", small_label(1))
    write_case("e", ["e_flair.nii.gz", "e_t1ce.nii.gz"], "e_seg.nii.gz", small_label())
    with pytest.raises(
        UserError, match=r"2 of 2 patients(.|\n)*c: has no t1ce;.*\n  e: .*no tumour"
    ):
        read("brats", root)
    with pytest.raises(UserError, match="2 of 2"):  # nobody would be left
        read("brats", root, on_error="skip")
    write_case("f", ["f_flair.nii.gz", "f_t1ce.nii.gz"], "f_seg.nii.gz", small_label(1))
    assert read("brats", root, on_error="skip")["patient_id"].tolist() == ["f"]
    assert read("brats", root, exclude=["c", "e"])["patient_id"].tolist() == ["f"]
    with pytest.raises(UserError, match="no patient 'ee'; did you mean 'e'"):
        read("brats", root, exclude=["ee"])


def test_what_becomes_of_the_files_is_noticed(write_case, cohort_values):
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    folder = CohortSettings.model_validate(cohort_values | {"source": "brats", "root": str(root)})
    table = {"source": "table", "table": str(write_table_of(root, [table_row("c")]))}
    table = CohortSettings.model_validate(cohort_values | table | {"label_scheme": "brats2015"})
    before = [listing_digest(cohort, MODALITIES) for cohort in (folder, table)]
    assert all(before)
    (root / "results").mkdir()
    (root / "results" / "x.nii.gz").touch()  # no case's
    assert [listing_digest(cohort, MODALITIES) for cohort in (folder, table)] == before
    write_case(".", [], "c_seg.nii.gz", small_label(1, 2))
    corrected = [listing_digest(cohort, MODALITIES) for cohort in (folder, table)]
    assert all(one != other for one, other in zip(corrected, before, strict=True))
    write_case("f", ["f_flair.nii.gz", "f_t1ce.nii.gz"], "f_seg.nii.gz", small_label(1))
    assert listing_digest(folder, MODALITIES) != corrected[0]
    (root / "f" / "f_flair.nii.gz").unlink()
    (root / "f" / "f_flair.nii.gz").symlink_to("nowhere")
    assert listing_digest(folder, MODALITIES)


def test_a_file_of_the_same_size_and_time_is_noticed(write_case, cohort_values):
    """As `cp -p` leaves it."""
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    cohort = CohortSettings.model_validate(cohort_values | {"source": "brats", "root": str(root)})
    before = listing_digest(cohort, MODALITIES)
    file = root / OLD[0]
    status, content = file.stat(), file.read_bytes()
    file.write_bytes(content[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert listing_digest(cohort, MODALITIES) != before


def test_of_several_scans_of_a_patient_one_is_taken(write_case):
    for scan in ("BraTS-GLI-00001-100", "BraTS-GLI-00001-101", "BraTS-GLI-00002-100"):
        root = write_case(scan, [f"{scan}-t2f.nii.gz", f"{scan}-t1c.nii.gz"],
                          f"{scan}-seg.nii.gz", small_label(1))  # fmt: skip
    found = read("brats", root)["patient_id"].tolist()
    assert found == ["BraTS-GLI-00001-100", "BraTS-GLI-00002-100"]
    chosen = read("brats", root, exclude=["BraTS-GLI-00001-100"])["patient_id"].tolist()
    assert chosen == ["BraTS-GLI-00001-101", "BraTS-GLI-00002-100"]
    with pytest.raises(UserError, match="leaves no patient"):
        read("brats", root, exclude=[*found, "BraTS-GLI-00001-101"])


def test_where_a_first_scan_cannot_be_used_the_next_one_is(write_case):
    for scan, label in (
        ("BraTS-GLI-00001-100", small_label()),
        ("BraTS-GLI-00001-101", small_label(1)),
    ):
        root = write_case(scan, [f"{scan}-t2f.nii.gz", f"{scan}-t1c.nii.gz"],
                          f"{scan}-seg.nii.gz", label)  # fmt: skip
    assert read("brats", root, on_error="skip")["patient_id"].tolist() == ["BraTS-GLI-00001-101"]


def test_a_label_on_the_grid_of_any_modality_is_taken(write_case, tmp_path):
    finer = AFFINE @ np.diag([1, 1, 0.5, 1])
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    image = np.arange(12 * 10 * 16, dtype=np.int16).reshape(12, 10, 16)
    save_nifti(image, finer, root / "c_flair.nii.gz")
    save_nifti(np.repeat(small_label(1), 2, axis=2), finer, root / "c_seg.nii.gz")
    assert read("brats", root)["volume_ml"].tolist() == pytest.approx([0.02])


def test_same_case_in_two_folders(write_case):
    write_case("one", OLD, "c_seg.nii.gz", small_label(1))
    root = write_case("two", OLD, "c_seg.nii.gz", small_label(1))
    with pytest.raises(UserError, match="c: has flair twice"):
        read("brats", root)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (small_label(), "has no tumour"),
        (np.full(SHAPE, 0.5, np.float32), "no integers"),
        (np.full(SHAPE, 900, np.int16), "no labels"),
        (np.ones((12, 10, 9), np.uint8), "not on the grid of flair or t1ce"),
    ],
)
def test_bad_labels(write_case, label, message):
    root = write_case(".", OLD, "c_seg.nii.gz", label)
    with pytest.raises(UserError, match=message):
        read("brats", root)


def test_label_elsewhere_in_space(write_case):
    shifted = AFFINE.copy()
    shifted[0, 3] = 5
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1), shifted)
    with pytest.raises(UserError, match="not on the grid"):
        read("brats", root)


def test_damaged_files(write_case):
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    (root / "c_flair.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"c: .*c_flair.nii.gz: cannot be read"):
        read("brats", root)


def test_truncated_label(write_case):
    noise = np.random.default_rng(0).integers(0, 3, SHAPE, np.uint8)
    root = write_case(".", OLD, "c_seg.nii.gz", noise)
    file = root / "c_seg.nii.gz"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match="c_seg.nii.gz:? cannot be read"):
        read("brats", root)


def test_corrupted_label(write_case):
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    file = root / "c_seg.nii.gz"
    content = bytearray(file.read_bytes())
    content[30:60] = b"\xff" * 30
    file.write_bytes(content)
    with pytest.raises(UserError, match="c_seg.nii.gz:? cannot be read"):
        read("brats", root)


def test_empty_and_missing_folders(tmp_path):
    with pytest.raises(UserError, match="no BraTS case"):
        read("brats", tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        read("brats", tmp_path / "none")


def write_msd(root, entries, modality=None):
    listing = {
        "modality": modality or {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "training": [
            {"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in entries
        ],
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(listing))
    for name in entries:
        image = np.stack([small_image(f"{name}#{k}") for k in range(4)], -1)
        save_nifti(image, AFFINE, root / "imagesTr" / f"{name}.nii.gz")
        save_nifti(small_label(1, 2, 3), AFFINE, root / "labelsTr" / f"{name}.nii.gz")


def test_msd_volumes_follow_the_listing(tmp_path):
    write_msd(tmp_path / "Task01_BrainTumour", ["BRATS_001", "BRATS_002"])
    table = read("msd", tmp_path)
    row = table.iloc[0]
    assert row["patient_id"] == "BRATS_001"
    assert row["label_scheme"] == "msd"
    assert np.all(load_volume(row["flair"])[0] == small_image("BRATS_001#0"))
    assert np.all(load_volume(row["t1ce"])[0] == small_image("BRATS_001#2"))


def test_msd_order_is_read_not_assumed(tmp_path):
    write_msd(tmp_path, ["a"], {"0": "T2w", "1": "T1gd", "2": "T1w", "3": "FLAIR"})
    row = read("msd", tmp_path).iloc[0]
    assert row["flair"].endswith("#3") and row["t1ce"].endswith("#1")


def test_msd_listing_is_checked(tmp_path):
    with pytest.raises(UserError, match="no dataset.json"):
        read("msd", tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="cannot be read as a Decathlon listing"):
        read("msd", tmp_path)
    write_msd(tmp_path, ["a"], {"0": "CT"})
    with pytest.raises(UserError, match="has no flair, t1ce"):
        read("msd", tmp_path)
    write_msd(tmp_path, ["../../a"])
    with pytest.raises(UserError, match="lies outside"):
        read("msd", tmp_path)


def write_table_of(root, rows):
    pd.DataFrame(rows).to_csv(root / "cohort.tsv", sep="\t", index=False)
    return root / "cohort.tsv"


def table_row(name, **changes):
    return {"patient_id": name, "flair": "c_flair.nii.gz", "t1ce": "c_t1ce.nii.gz",
            "label": "c_seg.nii.gz", "brain_mask": ""} | changes  # fmt: skip


def test_table_relative_to_itself_or_to_root(write_case, tmp_path):
    root = write_case("data", OLD, "c_seg.nii.gz", small_label(1, 4))
    table = write_table_of(root / "data", [table_row("007", brain_mask="c_seg.nii.gz")])
    row = read("table", table=table, scheme="brats2015").iloc[0]
    assert row["patient_id"] == "007"
    assert row["brain_mask"] == str(root / "data" / "c_seg.nii.gz")
    elsewhere = write_table_of(tmp_path, [table_row("7")])
    assert len(read("table", root / "data", elsewhere, "brats2015")) == 1


def folders_of(write_case, *names):
    """Rows of patients with files in a folder of their own each."""
    rows = []
    for name in names:
        root = write_case(name, OLD, "c_seg.nii.gz", small_label(1))
        rows.append({"patient_id": name} | {k: f"{name}/{v}" for k, v in zip(
            ("flair", "t1ce", "label"), (*OLD, "c_seg.nii.gz"), strict=True)})  # fmt: skip
    return root, rows


def test_a_table_says_which_scans_are_of_one_person(write_case):
    root, rows = folders_of(write_case, "a1", "a2", "b1")
    for row in rows:
        row["subject"] = {"a": "01", "b": ""}[row["patient_id"][0]]
    table = write_table_of(root, rows)
    assert read("table", table=table, scheme="brats2015")["patient_id"].tolist() == ["a1", "b1"]


def test_a_file_that_serves_twice_is_refused(write_case):
    root, rows = folders_of(write_case, "a", "b", "c")
    rows[1]["label"] = rows[0]["label"]
    rows[2]["t1ce"] = rows[2]["flair"]
    with pytest.raises(UserError, match="3 of 3(.|\n)*a/c_seg.nii.gz: is named more than once"):
        read("table", table=write_table_of(root, rows), scheme="brats2015")


def test_paths_may_hold_a_number_sign(write_case):
    root, rows = folders_of(write_case, "a")
    (root / "a").rename(root / "a#1")
    rows[0] |= {k: f"a#1/{v[2:]}" for k, v in rows[0].items() if k != "patient_id"}
    found = read("table", table=write_table_of(root, rows), scheme="brats2015")
    assert found["flair"].tolist() == [str(root / "a#1" / OLD[0])]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "No columns"),
        (b"\x00\xff\xfe\x00", "utf-8"),
        (b"patient_id\tflair\na\tx\ty\n", "tabs .*loss of data"),
        (b"patient_id\tflair\na\tx\nb\tx\ty\n", "Expected 2 fields in line 3"),
        (b'patient_id\tflair\n"a\tx\n', "EOF inside string"),
    ],
)
def test_a_file_that_is_no_table_is_named(content, reason, tmp_path):
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(UserError, match=rf"t\.tsv: cannot be read as a table.*{reason}"):
        read("table", table=tmp_path / "t.tsv", scheme="brats2015")


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a b", ".hidden", "-x", "ü", ""])
def test_names_that_are_no_paths(write_case, name):
    root, rows = folders_of(write_case, "good", "other")
    rows[1]["patient_id"] = name
    table = write_table_of(root, rows)
    with pytest.raises(UserError, match="1 of 2(.|\n)*no valid patient_id"):
        read("table", table=table, scheme="brats2015")


def test_names_that_differ_by_case_only(write_case):
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    table = write_table_of(root, [table_row("A"), table_row("a")])
    with pytest.raises(UserError, match="more than once"):
        read("table", table=table, scheme="brats2015")


def test_table_columns_and_cells(write_case):
    root = write_case(".", OLD, "c_seg.nii.gz", small_label(1))
    rows = [{"patient_id": "a", "FLAIR": "x", "t1ce": "y", "label": "z"}]
    with pytest.raises(UserError, match="no column flair.*'FLAIR'"):
        read("table", table=write_table_of(root, rows), scheme="brats2015")
    rows = [table_row("a", t1ce=""), table_row("b", flair="none.nii.gz")]
    with pytest.raises(UserError, match="a: has no t1ce"):
        read("table", table=write_table_of(root, rows), scheme="brats2015")
    with pytest.raises(UserError, match=r"b: .*none.nii.gz: does not exist"):
        read("table", table=write_table_of(root, rows[1:]), scheme="brats2015")
    with pytest.raises(UserError, match="does not exist"):
        read("table", table=root / "missing.tsv", scheme="brats2015")


def test_real_brats_2023(real_data):
    (row,) = read("brats", real_data / "brats2023").to_dict("records")
    assert row["patient_id"] == "BraTS-GLI-00000-000"
    assert row["label_scheme"] == "brats2023"
    assert row["volume_ml"] == pytest.approx(57.3, abs=0.1)


def test_real_brats_2015_as_a_table(real_data, tmp_path):
    root = real_data / "brats2015"
    rows = [
        {
            "patient_id": folder.name,
            "flair": f"{folder.name}/Flair_subtrMeanDivStd.nii.gz",
            "t1ce": f"{folder.name}/T1c_subtrMeanDivStd.nii.gz",
            "label": f"{folder.name}/OTMultiClass.nii.gz",
            "brain_mask": f"{folder.name}/brainmask.nii.gz",
        }
        for folder in sorted(root.iterdir())
    ]
    table = read("table", root, write_table_of(tmp_path, rows), "brats2015")
    assert len(table) == 6
    assert table["volume_ml"].between(5, 250).all()
    with pytest.raises(UserError, match="brats2023"):
        read("table", root, write_table_of(tmp_path, rows), "brats2023")
