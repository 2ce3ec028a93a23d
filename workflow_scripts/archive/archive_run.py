"""Rule ``archive_run``: a run's configuration, code, models, tables and figures in one RO-Crate.

https://w3id.org/ro/crate/1.1, with the profile of workflow runs
(https://w3id.org/ro/wfrun/workflow/0.5), which WorkflowHub reads.
"""

import mimetypes
import shutil
import tempfile
from base64 import b64encode
from importlib.metadata import version
from pathlib import Path

import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from workflow_scripts.common.files import read_json, staged
from workflow_scripts.common.provenance import checksum

# The version of RO-Crate that the profiles are written for.
CRATE = "1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
# Terms of the profiles that RO-Crate's own context lacks.
TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
WORKFLOW = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
# Media types of suffixes that Python does not know.
FORMATS = {
    ".yaml": "application/yaml",
    ".lock": "text/plain",
    ".gz": "application/gzip",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
}
MIT = "https://spdx.org/licenses/MIT"
# Licences by whether the patients are phantoms: identifier, name and description.
LICENCES = {
    True: (
        MIT,
        "MIT License",
        "For the code, and for the results, which are derived from phantoms.",
    ),
    False: (
        "#licence",
        "MIT License for the code; results may go where their patients' data may",
        "The code is under the MIT License (LICENSE). Models and tables are derived from patients: "
        "share them only where those patients' data may go.",
    ),
}
# The project, without generated files.
PROJECT = (
    "Snakefile", "rules", "report", "terminal", "workflow_scripts", "config", "config.yaml",
    "profiles", "envs", "docs", "mkdocs.yml", "prior", "prior-brats", "tests", "Makefile",
    "pyproject.toml", "requirements.in", "requirements.lock", "README.md", "CHANGELOG.md",
    "LICENSE", "CITATION.cff", "CONTRIBUTING.md",
)  # fmt: skip
# Images and pictures of patients are left out, and so are large files. The files of a model show no
# patient.
LEFT = (".npy", ".nii.gz", ".tfm", ".ckpt", ".zip")
PICTURES = ("real_and_synthetic", "nearest_training_patients")
LEFT_FILES = ("picture.png", *(f"{name}{end}" for name in PICTURES for end in (".png", ".webp")))
# An incomplete directory of patients would count as changed for Snakemake; nnU-Net writes the
# machine's name into its files.
LEFT_FOLDERS = (
    "phantoms", "reconstructions", "patients", "implanted", "sweep", "copies",
    "prior_phantoms", "predictions", "checkpoints",
    "tensorboard", "archive", "volumes", "pictures", "export", "nnunet_model",
)  # fmt: skip
RUN = "run.yaml"
MANIFEST = "manifest-sha256.txt"


def kept_results(results: Path) -> list[Path]:
    """Files of a run that are archived."""
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
    """Copy a file with its time, and create its folders."""
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
    """Copy Snakemake's metadata of all results, which determine what is stale.

    This includes results that are not archived, since a job is checked with all of its outputs.
    There is one file per output, also for directories, named by the base64 of its path.
    """
    notes = Path(".snakemake", "metadata")
    for output in results.rglob("*"):
        note = notes / b64encode(str(output).encode()).decode()
        if note.is_file():
            copy(note, folder / note)


def encoding_format(file: Path) -> str:
    """A file's media type."""
    known = FORMATS.get(file.suffix) or mimetypes.guess_type(file.name)[0]
    return known or "application/octet-stream"


def describe(folder: Path, results: Path, files: list[Path], phantoms: bool) -> None:
    """Write ``ro-crate-metadata.json``: the workflow, its run, and the results from ``phantoms`` or
    patients."""
    crate = ROCrate(version=CRATE)
    crate.metadata.extra_terms.update(TERMS)
    crate.name = "A run of SBLDM: brain-tumour MRI from slice-based latent diffusion"
    crate.description = (folder / results / "evaluation" / "summary.md").read_text()
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, url, {"@type": "CreativeWork", "name": name, "version": of}))
        for url, (name, of) in PROFILES.items()
    ]
    url, name, text = LICENCES[phantoms]
    licence = {"@type": "CreativeWork", "name": name, "description": text}
    crate.root_dataset["license"] = crate.add(ContextEntity(crate, url, licence))
    workflow = crate.add_workflow(folder / "Snakefile", "Snakefile", main=True, lang="snakemake")
    workflow["name"] = "SBLDM"
    workflow["license"] = MIT
    workflow["conformsTo"] = crate.add(
        ContextEntity(crate, WORKFLOW, {"@type": "CreativeWork", "name": "ComputationalWorkflow"})
    )
    workflow["programmingLanguage"]["version"] = version("snakemake")

    def add(file: Path | str, **properties):
        properties |= {"encodingFormat": encoding_format(Path(file))}
        return crate.add_file(folder / file, str(file), properties=properties)

    settings = add(RUN, name="all values of the run")
    add("requirements.lock")
    add("README.md")["about"] = crate.root_dataset
    entities = [add(file, sha256=checksum(folder / file)) for file in files]
    jobs = [read_json(folder / file) for file in files if file.parent.name == "provenance"]
    action = {
        "@type": "CreateAction",
        "name": "the run",
        "startTime": min(job["started"] for job in jobs),
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "description": f"{len(jobs)} jobs, {sum(job['seconds'] for job in jobs):.0f} seconds",
    }
    run = crate.add(ContextEntity(crate, "#run", action))
    run["instrument"], run["object"], run["result"] = workflow, settings, entities
    crate.root_dataset["mentions"] = run
    crate.metadata.write(folder)


def write_manifest(folder: Path) -> None:
    """Write the checksum of every file for ``sha256sum --check``."""
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
        phantoms = params.config["cohort"]["source"].startswith("phantom")
        describe(folder, results, files, phantoms)
        write_manifest(folder)
        with staged(snakemake.output.archive) as archive:
            shutil.make_archive(str(archive.with_suffix("")), "zip", folder)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
