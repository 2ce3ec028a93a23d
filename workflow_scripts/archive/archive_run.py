"""Rule ``archive_run``: a run's configuration, code, models, tables and figures in one RO-Crate.

https://w3id.org/ro/crate/1.1, with the profile of workflow runs
(https://w3id.org/ro/wfrun/workflow/0.5), which WorkflowHub reads.
"""

import shutil
import tempfile
from base64 import b64encode
from pathlib import Path

import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from workflow_scripts.common.files import read_json, staged
from workflow_scripts.common.provenance import checksum

PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
# The project, without what is made in it.
PROJECT = (
    "Snakefile", "rules", "report", "terminal", "workflow_scripts", "config", "config.yaml",
    "profiles", "envs", "docs", "mkdocs.yml", "prior", "prior-brats", "tests", "Makefile",
    "pyproject.toml", "requirements.in", "requirements.lock", "README.md", "CHANGELOG.md",
    "LICENSE", "CITATION.cff", "CONTRIBUTING.md",
)  # fmt: skip
# Images and pictures of patients stay where they are, and so does what is large. What a model
# brings is nobody's image.
LEFT = (".npy", ".nii.gz", ".tfm", ".ckpt", ".zip")
PICTURES = ("real_and_synthetic", "nearest_training_patients")
LEFT_FILES = ("picture.png", *(f"{name}{end}" for name in PICTURES for end in (".png", ".webp")))
# A directory of patients in part would look to Snakemake as if it had changed; nnU-Net writes the
# machine's name into what it trains.
LEFT_FOLDERS = (
    "phantoms", "reconstructions", "patients", "implanted", "sweep", "copies",
    "prior_phantoms", "predictions", "checkpoints",
    "tensorboard", "archive", "volumes", "pictures", "export", "nnunet_model",
)  # fmt: skip
RUN = "run.yaml"
MANIFEST = "manifest-sha256.txt"


def kept_results(results: Path) -> list[Path]:
    """Files of a run that go into its archive."""
    return [
        file
        for file in sorted(results.rglob("*"))
        if file.is_file()
        and not file.name.startswith(".")
        and file.name not in LEFT_FILES
        and (not file.name.endswith(LEFT) or file.parent.name == "model")
        and not set(file.relative_to(results).parts) & set(LEFT_FOLDERS)
    ]


def copy(file: Path, target: Path) -> None:
    """Copy a file with its time, into folders that are made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target)


def copy_project(project: Path, folder: Path) -> None:
    """Copy the code and its settings."""
    for name in PROJECT:
        source = project / name
        files = [source] if source.is_file() else sorted(source.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                copy(file, folder / file.relative_to(project))


def copy_metadata(results: Path, folder: Path) -> None:
    """Copy what Snakemake noted about all results, by which it tells what is stale.

    Of those too that stay behind: a job is looked at with all of its outputs. There is a note for
    each output, a directory's too, under the base64 of its name.
    """
    notes = Path(".snakemake", "metadata")
    for output in results.rglob("*"):
        note = notes / b64encode(str(output).encode()).decode()
        if note.is_file():
            copy(note, folder / note)


def describe(folder: Path, results: Path, files: list[Path]) -> None:
    """Write ``ro-crate-metadata.json``: the workflow, its run, and what the run made."""
    crate = ROCrate()
    crate.name = "A run of SBLDM: brain-tumour MRI from slice-based latent diffusion"
    crate.description = (folder / results / "evaluation" / "summary.md").read_text()
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, url, {"@type": "CreativeWork"})) for url in PROFILES
    ]
    workflow = crate.add_workflow(folder / "Snakefile", "Snakefile", main=True, lang="snakemake")
    workflow["name"] = "SBLDM"
    settings = crate.add_file(folder / RUN, RUN, properties={"name": "all values of the run"})
    crate.add_file(folder / "requirements.lock", "requirements.lock")
    entities = [
        crate.add_file(folder / file, str(file), properties={"sha256": checksum(folder / file)})
        for file in files
    ]
    jobs = [read_json(folder / file) for file in files if file.parent.name == "provenance"]
    action = {
        "@type": "CreateAction",
        "name": "the run",
        "startTime": min(job["started"] for job in jobs),
        "description": f"{len(jobs)} jobs, {sum(job['seconds'] for job in jobs):.0f} seconds",
    }
    run = crate.add(ContextEntity(crate, "#run", action))
    run["instrument"], run["object"], run["result"] = workflow, [settings], entities
    crate.root_dataset["mentions"] = [run]
    crate.metadata.write(folder)


def write_manifest(folder: Path) -> None:
    """Write the checksum of every file, as ``sha256sum --check`` reads it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    lines = [f"{checksum(file)}  {file.relative_to(folder)}\n" for file in files]
    (folder / MANIFEST).write_text("".join(lines))


def main(snakemake) -> None:
    params = snakemake.params
    results = Path(params.config["results"])
    files = kept_results(results)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        copy_project(Path(params.project), folder)
        for file in files:
            copy(file, folder / file)
        copy_metadata(results, folder)
        (folder / RUN).write_text(yaml.safe_dump(params.config, sort_keys=False))
        describe(folder, results, files)
        write_manifest(folder)
        with staged(snakemake.output.archive) as archive:
            shutil.make_archive(str(archive.with_suffix("")), "zip", folder)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
