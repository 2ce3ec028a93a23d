"""The tiny set-up from a cohort to the tables, on embedded and on real patients."""

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from workflow_scripts.bench.measure_calibration import measure as measure_calibration

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--configfile", str(ROOT / "config" / "tiny.yaml"))
ARMS = {"real+classical", "real+classical+synthetic"}


def checksums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_all_tables_and_figures_are_there(tiny_run):
    folder = tiny_run / "results-tiny" / "evaluation"
    scores = pd.read_csv(folder / "scores.csv")
    assert set(scores["arm"]) == ARMS
    assert set(scores["region"]) == {"WT"}
    native = ["native_dice", "native_hd95_mm", "native_nsd", "official_hd95_voxels", "lesion_dice"]
    shown = ["dice", "hd95_mm", "nsd", "volume_error_ml", *native]
    assert not scores[shown].isna().any().any()
    # Every phantom has one tumour or more, each of which is found or missed.
    assert (scores["lesion_tp"] + scores["lesion_fn"] >= 1).all()
    for name, columns in {
        "adherence": {"split", "attribute", "draw", "n_requests", "n_missing", "bias", "limit_low"},
        "reconstruction": {"split", "psnr_db", "ssim", "label_dice"},
        "contrast": {"split", "group", "modality", "contrast_z", "ratio", "ratio_low"},
        "quality": {"split", "generator", "measure", "modality", "reference", "value", "floor"},
        "segmentation": {"n", "arm", "region"},
    }.items():
        assert columns <= set(pd.read_csv(folder / f"{name}.csv").columns), name
    assert set(pd.read_csv(folder / "contrast.csv")["group"]) == {
        "real",
        "reconstructed",
        "training",
        "synthetic",
    }
    quality = pd.read_csv(folder / "quality.csv")
    assert not quality[["value", "floor"]].isna().any().any()
    assert {"auc_real", "frechet", "torn_brain", "slice_ratio"} <= set(quality["measure"])
    assert quality["measure"].iloc[0].startswith("auc")
    comparisons = pd.read_csv(folder / "comparisons.csv")
    assert comparisons["verdict"].tolist() == ["not decided: 1 seed"]
    assert pd.read_csv(folder / "memory.csv")["verdict"].notna().all()
    assert (folder / "segmentation.tex").read_text()
    assert (folder / "summary.md").read_text()
    assert len(list((folder / "figures").glob("*.png"))) >= 5
    assert (folder.parent / "report" / "index.html").is_file()


def test_no_patient_is_on_two_sides(tiny_run):
    splits = pd.read_csv(tiny_run / "results-tiny" / "cohort" / "splits.tsv", sep="\t")
    assert not splits.duplicated(["split", "patient_id"]).any()
    provenance = json.loads(
        (tiny_run / "results-tiny/autoencoder/n2-s0/provenance/train_autoencoder.json").read_text()
    )
    trained = {Path(file).parent.name for file in provenance["inputs"]}
    assert trained == set(splits[splits["role"] == "train"]["patient_id"])


def test_each_result_says_what_made_it(tiny_run):
    records = [
        json.loads(p.read_text()) for p in tiny_run.glob("results-tiny/**/provenance/*.json")
    ]
    assert {"train_diffusion", "write_summary"} <= {record["rule"] for record in records}
    for record in records:
        assert {"wildcards", "packages", "machine", "started"} <= set(record)
        assert record["params"]["code"]
        assert all(len(digest) == 64 for digest in record["inputs"].values())
        assert record["seconds"] >= 0
        assert 10 < record["peak_mb"] < 20_000


def test_synthetic_patients_have_the_grid_and_tell_how_they_were_made(tiny_run):
    folder = tiny_run / "results-tiny" / "synthesis" / "n2-s0"
    table = pd.read_csv(folder / "attributes.tsv", sep="\t")
    assert len(table) == 4
    once = table["attempts"] == 1
    assert (table["first_outcome"] == table["outcome"])[once].all()
    assert (table["first_volume_ml"] == table["measured_volume_ml"])[once].all()
    real = nib.load(next((tiny_run / "results-tiny" / "preprocess").glob("*/label.nii.gz")))
    drawn = table.loc[table["measured_volume_ml"] > 0, "patient_id"]
    assert len(drawn), "no synthetic patient has a tumour, so that nothing downstream is tested"
    for name in drawn:
        label = nib.load(folder / "patients" / name / "label.nii.gz")
        assert np.array_equal(label.affine, real.affine)
        record = json.loads((folder / "patients" / name / "request.json").read_text())
        assert {"request", "measured", "seed", "models_sha256"} <= set(record)
        assert np.asarray(label.dataobj).any()


def test_predictions_lie_in_native_space_too(tiny_run):
    results = tiny_run / "results-tiny"
    for file in (results / "segmentation" / "n2-s0" / "real+classical" / "predictions").glob("*/"):
        native = nib.load(file / "label_native.nii.gz")
        raw = nib.load(results / "cohort" / "phantoms" / file.name / "t1ce.nii.gz")
        assert native.shape == raw.shape
        assert np.allclose(native.affine, raw.affine)


def test_the_denoiser_of_a_run_is_measured_on_its_validation_patients(tiny_run):
    table = measure_calibration(tiny_run / "results-tiny", "n2-s0")
    # What noise of a fifth of a standard deviation leaves is easily known.
    assert table.loc[0.2, "explained"].min() > 0.5
    assert table["slope"].notna().all()


def test_a_second_run_does_nothing(tiny_run, snakemake, copy_run, tmp_path):
    done = snakemake(copy_run(tiny_run, tmp_path / "again"), *TINY)
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "rule", ["train_diffusion", pytest.param("train_autoencoder", marks=pytest.mark.long)]
)
def test_one_stage_again_gives_the_same_bytes(rule, tiny_run, snakemake, copy_run, tmp_path):
    again = copy_run(tiny_run, tmp_path / "again")
    target = "results-tiny/synthesis/n2-s0/attributes.tsv"
    done = snakemake(again, *TINY, "--forcerun", rule, "--", target)
    assert done.returncode == 0, done.stderr[-3000:]
    for part in ("autoencoder/n2-s0/model", "diffusion/n2-s0/model", "synthesis/n2-s0/patients"):
        first, second = (checksums(f / "results-tiny" / part) for f in (tiny_run, again))
        assert first
        assert first == second, part


def test_a_bad_request_is_refused_in_words(tiny_run, snakemake, copy_run, tmp_path):
    again = copy_run(tiny_run, tmp_path / "again")
    (again / "mine.tsv").write_text(
        "volume_ml\tcentroid_x_mm\tcentroid_y_mm\tcentroid_z_mm\n20\t400\t0\t0\n"
    )
    target = "results-tiny/synthesis/n2-s0/attributes.tsv"
    done = snakemake(again, *TINY, "--config", "synthesis={requests: mine.tsv}", "--", target)
    assert done.returncode != 0
    assert "impossible requests: synthetic-0001: 20 mL at (400, 0, 0) mm" in done.stderr
    assert "Traceback" not in done.stderr
