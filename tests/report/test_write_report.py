"""The page as a whole, from a run's files."""

import base64
import gzip
import json
import re
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workflow_scripts.cohort.problems import Problem, problem_table
from workflow_scripts.common.attributes import AXES
from workflow_scripts.common.files import write_json, write_table
from workflow_scripts.common.nifti import save_nifti
from workflow_scripts.configuration import read_config
from workflow_scripts.report import write_report
from workflow_scripts.report.write_report import FIGURES, TRAINING, main

ROOT = Path(__file__).resolve().parents[2]
ARMS = ("real+classical", "real+classical+synthetic")
NAMES = ("volume_ml", *(f"centroid_{axis}_mm" for axis in AXES), "sphericity")


def write_scores_and_predictions(folder: Path, patients: list[Path]) -> None:
    """Scores of both arms, the later patients' worse, and predictions that miss all but a voxel."""
    rows = []
    for arm in ARMS:
        for number, patient in enumerate(patients):
            dice = 0.9 - 0.4 * number - 0.1 * ARMS.index(arm)
            rows.append(
                {
                    "split": "n8-s0", "n": 8, "seed": 0, "arm": arm, "patient_id": patient.name,
                    "region": "WT", "dice": dice, "hd95_mm": 3.0, "volume_error_ml": -1.0,
                    "lesion_tp": 1, "lesion_fn": number,
                }
            )  # fmt: skip
            classes = np.zeros((32, 32, 24), np.uint8)
            classes[ARMS.index(arm), 3, 5] = 1
            file = folder / "n8-s0" / arm / "predictions" / patient.name / "label.nii.gz"
            file.parent.mkdir(parents=True)
            save_nifti(classes, np.eye(4), file, np.uint8)
    pd.DataFrame(rows).to_csv(folder / "scores.csv", index=False)


@pytest.fixture
def job(tmp_path, patients):
    """A run's files: two test patients, two synthetic ones, of whom one has no tumour."""
    summary = tmp_path / "summary.md"
    titles = [title for title in FIGURES if title != "Problems"] + ["Where to look"]
    short = "## In short\n\n- **Did they help?** Not decided.\n\n"
    summary.write_text(
        f"# Results\n\n{short}" + "".join(f"## {t}\n\n**{t}** text\n\n" for t in titles)
    )
    figures = tmp_path / "drawn"
    figures.mkdir()
    for named in [*FIGURES.values(), TRAINING]:
        for name in named:
            Image.new("RGB", (30, 20)).save(figures / f"{name}.png")
    pd.DataFrame([dict.fromkeys(NAMES, 1.25)]).to_csv(
        patients[0] / "attributes.tsv", sep="\t", index=False
    )
    pd.DataFrame([dict.fromkeys(NAMES, np.nan)]).to_csv(
        patients[1] / "attributes.tsv", sep="\t", index=False
    )
    Image.new("RGB", (3000, 1000)).save(patients[0] / "picture.png")
    splits = tmp_path / "splits.tsv"
    splits.write_text(
        "split\tpatient_id\trole\nn1-s0\tball-0\ttrain\nn1-s0\tball-1\ttest\n"
        "n1-s0\tball-2\tvalidation\n"
    )
    made = tmp_path / "synthetic"
    made.mkdir()
    for number in (2, 3):
        (made / f"synthetic-000{number}").symlink_to(patients[number])
    rows = [
        {"patient_id": f"synthetic-000{n}", "anatomy": {2: "phantom", 3: "training:ball-0/4"}[n]}
        | {f"requested_{name}": 7.0 for name in NAMES}
        | {f"measured_{name}": 8.04 for name in NAMES}
        for n in (2, 3)
    ]
    attributes = tmp_path / "attributes.tsv"
    pd.DataFrame(rows).to_csv(attributes, sep="\t", index=False)
    neighbours = tmp_path / "neighbours.csv"
    neighbours.write_text("patient_id,image_patient\nsynthetic-0002,ball-9\n")
    write_scores_and_predictions(tmp_path, patients[:2])
    write_table(problem_table([]), tmp_path / "problems.tsv")
    for folder in patients[:2]:
        write_json({"warnings": []}, folder / "native.json")
    values = read_config(ROOT / "config.yaml", ROOT / "config" / "tiny.yaml").model_dump(
        mode="json"
    )
    values["cohort"]["splits"]["train_sizes"] = [8]
    values["grid"] = {"shape": [32, 32, 24], "spacing_mm": [5.0, 5.0, 6.0]}
    given = {
        "summary": summary,
        "figures": figures,
        "splits": splits,
        "problems": tmp_path / "problems.tsv",
        "natives": [folder / "native.json" for folder in patients[:2]],
        "pictures": [patients[0] / "picture.png"],
        "images": [folder / "image.npy" for folder in patients[:2]],
        "synthetic": [made],
        "attributes": [attributes],
        "neighbours": [neighbours],
        "scores": tmp_path / "scores.csv",
        "predictions": [tmp_path / "n8-s0" / arm / "predictions" for arm in ARMS],
    }
    return SimpleNamespace(
        input=SimpleNamespace(**given),
        params=SimpleNamespace(config=values, benchmarks=str(tmp_path / "benchmarks")),
        output=SimpleNamespace(report=str(tmp_path / "results" / "report")),
    )


def test_all_that_the_page_names_is_beside_it_and_nothing_elsewhere(job):
    main(job)
    folder = Path(job.output.report)
    page = (folder / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(named) > 10
    for name in named:
        if name.startswith("#"):
            assert f'id="{name[1:]}"' in page
        elif name != "data:,":
            assert (folder / name).is_file(), name
    assert "http" not in "".join(named)


def test_what_is_wrong_with_patients_is_said_first(job):
    main(job)
    page = (Path(job.output.report) / "index.html").read_text()
    assert "Problems of patients" not in page
    problems = [
        Problem("warning", "", "", "no patient has a core", "see that the scheme is right"),
        Problem("error", "ben", "/data/ben/t1.nii", "does not exist", "name | a <file> that does"),
    ]
    write_table(problem_table(problems), job.input.problems)
    warning = {"problem": "t1ce: the head is turned by 90 degrees", "remedy": "check the picture"}
    write_json({"warnings": [warning]}, job.input.natives[1])
    main(job)
    write_json({"warnings": []}, job.input.natives[1])
    page = (Path(job.output.report) / "index.html").read_text()
    assert page.index("Problems of patients") < page.index("Did synthetic patients help?")
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    file, words = "<code>t1.nii</code>", "name | a &lt;file&gt; that does"
    assert ["error", "ben", file, "does not exist", words] in cells
    assert ["warning", "all", "", "no patient has a core", "see that the scheme is right"] in cells
    assert ["warning", "ball-1", "", *warning.values()] in cells


@pytest.mark.parametrize(("source", "phantom"), [("phantom", True), ("brats", False)])
def test_phantoms_are_never_called_real(job, source, phantom):
    cohort = job.params.config["cohort"]
    cohort |= {"source": source, "root": None if phantom else "/data"}
    main(job)
    page = (Path(job.output.report) / "index.html").read_text()
    assert ("All patients of this run are phantoms" in page) == phantom
    assert page.index("not a medical device") > 0
    titles = [p["title"] for p in json.loads(re.search(r"const SBLDM = (.*);</script>", page)[1])]
    assert titles[0] == f"ball-0, {'phantom' if phantom else 'real'}, held out"
    if phantom:
        assert page.index("All patients of this run are phantoms") < page.index("Did synthetic")


def test_the_answers_and_a_warning_stand_before_everything_else(job):
    main(job)
    page = (Path(job.output.report) / "index.html").read_text()
    first = page[: page.index("<nav")]
    assert "<strong>Did they help?</strong> Not decided." in first
    assert "3 phantoms, 1 split, FLAIR and T1ce; whole tumour (WT). Not a medical device." in first


def test_patients_and_their_tumours_are_handed_to_the_viewer(job):
    main(job)
    folder = Path(job.output.report)
    page = (folder / "index.html").read_text()
    patients = json.loads(re.search(r"const SBLDM = (.*);</script>", page)[1])
    assert [patient["name"] for patient in patients] == [
        "real/ball-0", "real/ball-1", "synthetic/synthetic-0002", "synthetic/synthetic-0003",
    ]  # fmt: skip
    assert [patient.get("synthetic", False) for patient in patients] == [False, False, True, True]
    assert patients[0]["centre"] == [1.25] * 3
    assert patients[1]["centre"] is None
    assert patients[1]["rows"][0] == ["volume (mL)", "–"]
    assert patients[2]["rows"][0] == ["volume (mL)", "7.0", "8.0"]
    assert patients[2]["rows"][-2:] == [
        ["sphericity", "7.00", "8.04"],
        ["nearest training patient", "", "ball-9"],
    ]
    assert patients[3]["rows"][-1] == ["made from the brain of", "", "ball-0"]
    assert all((folder / patient["file"]).is_file() for patient in patients)


def test_a_large_cohort_shows_as_many_as_a_page_holds(job, monkeypatch):
    monkeypatch.setattr(write_report, "VOLUMES", 1)
    main(job)
    files = sorted(file.stem for file in Path(job.output.report, "volumes").rglob("*.js"))
    # The worst test patient, and a synthetic one.
    assert files == ["ball-1", "synthetic-0002"]
    page = Path(job.output.report, "index.html").read_text()
    assert "the viewer has 1 of 2 test patients" in page
    rows = re.findall(r'<th scope="row" data-key="([^"]+)">(<a)?', page)
    assert rows == [("ball-1", "<a")] * 2 + [("ball-0", "")] * 2


def test_each_arms_prediction_of_a_test_patient_is_in_the_viewer(job):
    main(job)
    folder = Path(job.output.report)
    page = (folder / "index.html").read_text()
    patients = json.loads(re.search(r"const SBLDM = (.*);</script>", page)[1])
    by_name = {patient["name"]: patient for patient in patients}
    labels = by_name["real/ball-1"]["labels"]
    assert [label["name"] for label in labels] == ["label", *(f"prediction {arm}" for arm in ARMS)]
    assert labels[2]["rows"][0] == ["Dice", "0.400"]
    assert len(by_name["synthetic/synthetic-0002"]["labels"]) == 1
    text = (folder / by_name["real/ball-1"]["file"]).read_text()
    volumes = json.loads(text[text.index("{") : text.rindex("}") + 1])
    for number, arm in enumerate(ARMS):
        packed = gzip.decompress(base64.b64decode(volumes[f"prediction {arm}"]))
        classes = np.asarray(nib.Nifti1Image.from_bytes(packed).dataobj)
        assert np.argwhere(classes).tolist() == [[number, 3, 5]]


def test_each_row_of_the_table_leads_to_a_prediction_that_is_there(job):
    main(job)
    page = (Path(job.output.report) / "index.html").read_text()
    patients = json.loads(re.search(r"const SBLDM = (.*);</script>", page)[1])
    known = {(p["name"], label["name"]) for p in patients for label in p["labels"]}
    links = re.findall(r'data-patient="([^"]+)" data-prediction="([^"]+)"', page)
    assert len(links) == 4
    assert set(links) <= known


def test_of_many_patients_some_pictures_are_shown(job, monkeypatch, tmp_path):
    pictures = []
    for number in range(5):
        file = tmp_path / f"p{number}" / "picture.png"
        file.parent.mkdir()
        Image.new("RGB", (30, 20)).save(file)
        pictures.append(file)
    job.input.pictures = pictures
    monkeypatch.setattr(write_report, "PICTURES", 2)
    main(job)
    assert len(list(Path(job.output.report, "pictures").iterdir())) == 2
    assert "2 of 5; all are in" in Path(job.output.report, "index.html").read_text()


def test_a_run_without_any_synthetic_patient_has_a_report(job, tmp_path):
    (tmp_path / "none").mkdir()
    job.input.synthetic = [tmp_path / "none"]
    main(job)
    assert "Look at patients" in Path(job.output.report, "index.html").read_text()


def test_pictures_are_no_wider_than_the_page(job):
    main(job)
    with Image.open(Path(job.output.report, "pictures", "ball-0.webp")) as picture:
        assert picture.size == (1200, 400)
