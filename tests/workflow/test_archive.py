"""The archive of a run: whole, described, and enough for Snakemake to want nothing."""

import json
import subprocess
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pytest
from rocrate.rocrate import ROCrate

from workflow_scripts.archive.archive_run import MANIFEST, RUN, kept_results

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--configfile", str(ROOT / "config" / "tiny.yaml"))


@pytest.fixture(scope="module")
def unpacked(tiny_run, snakemake, copy_run, tmp_path_factory) -> Path:
    """The archive of the tiny run, unpacked elsewhere."""
    run = copy_run(tiny_run, tmp_path_factory.mktemp("archived") / "run")
    done = snakemake(run, *TINY, "--", "results-tiny/archive/run.zip")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path_factory.mktemp("elsewhere") / "run"
    with zipfile.ZipFile(run / "results-tiny" / "archive" / "run.zip") as archive:
        archive.extractall(folder)
    return folder


def test_its_own_check_passes_and_finds_a_change(unpacked):
    check = ["sha256sum", "--check", "--quiet", MANIFEST]
    assert subprocess.run(check, cwd=unpacked, check=False).returncode == 0
    table = unpacked / "results-tiny" / "evaluation" / "scores.csv"
    content = table.read_text()
    table.write_text(content + " ")
    assert subprocess.run(check, cwd=unpacked, check=False, capture_output=True).returncode != 0
    table.write_text(content)


def test_a_dry_run_there_wants_nothing(unpacked, snakemake):
    arguments = ["--configfile", RUN, "--dry-run"]
    done = snakemake(unpacked, *arguments, snakefile=unpacked / "Snakefile")
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_it_is_a_workflow_run_crate(unpacked):
    crate = ROCrate(unpacked)
    assert crate.mainEntity.id == "Snakefile"
    assert crate.mainEntity["programmingLanguage"].id.endswith("#snakemake")
    run = crate.get("#run")
    assert run.type == "CreateAction"
    assert run["instrument"] == crate.mainEntity
    assert {"results-tiny/evaluation/segmentation.csv", "results-tiny/evaluation/summary.md"} <= {
        file.id for file in run["result"]
    }
    graph = json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]
    files = [unquote(item["@id"]) for item in graph if "File" in item["@type"]]
    assert all((unpacked / name).is_file() for name in files)


def test_models_and_provenance_are_in_it_and_no_image_of_a_patient(unpacked):
    results = unpacked / "results-tiny"
    assert (results / "synthesis/n2-s0/model/diffusion/weights.safetensors").is_file()
    assert len(list(results.glob("**/provenance/*.json"))) > 20
    images = [*results.glob("**/*.nii.gz"), *results.glob("**/*.npy")]
    assert {file.parent.name for file in images} == {"model"}
    assert {file.name for file in images} == {"template.nii.gz", "brain.nii.gz"}
    pictures = {file.name for file in results.glob("**/*.png")}
    assert "dice_by_arm.png" in pictures
    assert not pictures & {"picture.png", "real_and_synthetic.png"}
    report = {str(f.relative_to(results / "report")) for f in results.glob("report/**/*.*")}
    assert {"index.html", "figures/dice_by_arm.webp"} <= report
    assert not [name for name in report if name.startswith(("volumes", "pictures"))]
    assert "figures/real_and_synthetic.webp" not in report
    assert (unpacked / "requirements.lock").is_file()


def test_data_sets_and_what_nnunet_trained_stay_behind_whole(tmp_path):
    arm = "nnunet/n2-s0/real+classical"
    left = ["export/n2-s0/nnUNet_raw/D/dataset.json", f"{arm}/nnunet_model/fold_0/debug.json"]
    for name in [*left, f"{arm}/scores.csv", "nnunet/segmentation.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    kept = [str(file.relative_to(tmp_path)) for file in kept_results(tmp_path)]
    assert kept == [f"{arm}/scores.csv", "nnunet/segmentation.md"]
