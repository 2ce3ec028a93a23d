"""Two working directories and one cache: a colleague's results are there in seconds."""

import json
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Few arms and steps: what counts is that nothing is trained twice.
SHORT = (
    "segmentation={steps: 4, arms: [real+synthetic]}",
    "synthesis={attempts: 1}",
    "cohort={source: table, table: patients.tsv, label_scheme: brats2023, "
    "splits: {train_sizes: [1], test: 1}}",
    "preprocess={coregister: never}",
    "autoencoder={steps: 20}",
    "diffusion={steps: 10}",
)
PATIENTS = 3
# Up to the first model, or to the scores.
TARGETS = [
    ("autoencoder/n1-s0/model/weights.safetensors", 1),
    pytest.param("evaluation/scores.csv", 3, marks=pytest.mark.long),
]
VOLUMES = ("flair", "t1ce", "label", "brain_mask")


def start(folder: Path, patients: Path, cache: Path, target: str, snakemake) -> None:
    """Run the workflow on copies of the patients, which lie in another place for everybody."""
    folder.mkdir()
    rows = []
    for source in sorted(patients.iterdir())[:PATIENTS]:
        place = folder / "data" / source.name
        place.mkdir(parents=True)
        files = {name: place / f"{name}.nii.gz" for name in VOLUMES}
        for file in files.values():
            file.write_bytes((source / file.name).read_bytes())
        rows.append({"patient_id": source.name, **files})
    pd.DataFrame(rows).to_csv(folder / "patients.tsv", sep="\t", index=False)
    tiny = ["--configfile", str(ROOT / "config" / "tiny.yaml"), "--config", *SHORT]
    target = f"results-tiny/{target}"
    done = snakemake(folder, *tiny, "--cache", "--", target, SNAKEMAKE_OUTPUT_CACHE=str(cache))
    assert done.returncode == 0, done.stderr[-4000:]


def made(folder: Path) -> dict[str, dict]:
    """Provenance of each model."""
    files = (folder / "results-tiny").glob("**/provenance/train_*.json")
    return {str(f.relative_to(folder)): json.loads(f.read_text()) for f in files}


@pytest.mark.parametrize(("target", "models"), TARGETS)
def test_the_second_run_trains_nothing(target, models, tiny_run, snakemake, tmp_path):
    patients = tiny_run / "results-tiny" / "cohort" / "phantoms"
    cache = tmp_path / "cache"
    cache.mkdir()
    start(tmp_path / "first", patients, cache, target, snakemake)
    start(tmp_path / "second", patients, cache, target, snakemake)
    first, second = made(tmp_path / "first"), made(tmp_path / "second")
    assert len(first) == models
    # The same record, time included: it was not made again.
    assert first == second
    logs = tmp_path / "second" / "results-tiny" / "logs"
    assert not list(logs.glob("*/train_*/**/*.log.1"))
    assert not list(logs.glob("preprocess/*/*.log.1"))
    results = [
        (tmp_path / name / "results-tiny" / target).read_bytes() for name in ("first", "second")
    ]
    assert results[0] == results[1]
