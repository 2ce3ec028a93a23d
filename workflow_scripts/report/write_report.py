"""Rule ``write_report``: the report of a run, a page that opens from disk."""

import shutil
from collections.abc import Iterable
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import yaml
from PIL import Image

from workflow_scripts.cohort.problems import Problem
from workflow_scripts.common.attributes import AXES
from workflow_scripts.common.files import read_json, read_table, read_text_table, staged_directory
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import regions
from workflow_scripts.common.patients import Patient, patient_folders
from workflow_scripts.common.provenance import package_versions
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.common.words import MODALITIES, region_words
from workflow_scripts.configuration import Config, check
from workflow_scripts.evaluation.captions import CAPTIONS
from workflow_scripts.evaluation.last_words import TITLE as IN_SHORT
from workflow_scripts.evaluation.tables import markdown, number
from workflow_scripts.report import failures, viewer
from workflow_scripts.report.failures import Prediction
from workflow_scripts.report.methods import methods
from workflow_scripts.report.sections import html, sections
from workflow_scripts.report.usage import usage
from workflow_scripts.synthesis.request_table import PHANTOM, source_of

PAGE = Path(__file__).parent / "page"
COPIED = (
    "report.css",
    "viewer.js",
    "report.js",
    "failures.js",
    "niivue.umd.js",
    "NIIVUE-LICENSE.txt",
)
# Limit on the characters of all patients' volumes: with pictures and viewer the report stays below
# 40 MB.
VOLUMES = 25_000_000
PICTURE_WIDTH = 1200
# Maximum number of patients whose preprocessing is shown, evenly spaced.
PICTURES = 150
VERDICT, PROBLEMS = "Did synthetic patients help?", "Problems"
PATIENTS = "Problems of patients"
ASKED = "Do synthetic patients have the requested tumour?"
QUALITY = "Synthetic beside held-out patients"
FAILURES = "Test patients, worst first"
# Sections of the summary in the order of the report, with their figures.
FIGURES = {
    PROBLEMS: (),
    VERDICT: ("dice_by_arm", "dice_by_n"),
    "Other comparisons": (),
    "Segmentation of the test patients": (),
    "Segmentation in native space": (),
    ASKED: ("requested_and_measured", "size_sweep", "place_sweep"),
    QUALITY: ("real_and_synthetic", "synthetic_patients", "nearest_training_patients"),
    "Held-out patients after the autoencoder": (),
    "Contrast of tumours against their surroundings": (),
}
TRAINING = ("training_curves",)


ROWS = {
    "volume_ml": "volume (mL)",
    "centroid_x_mm": "centroid, x (mm)",
    "centroid_y_mm": "centroid, y (mm)",
    "centroid_z_mm": "centroid, z (mm)",
    "sphericity": "sphericity",
}


def section(title: str, text: str, figures: list[dict] | None = None, kind: str = "") -> dict:
    """A section of the page from Markdown."""
    identity = "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
    part = {"id": identity, "title": title, "html": html(text, title), "kind": kind}
    return {**part, "figures": figures or []}


def copied(source: Path, target: Path, caption: str) -> dict[str, Any]:
    """Copy a picture into the report's folder, as WebP no wider than on the page."""
    target = target.with_name(f"{target.name}.webp")
    target.parent.mkdir(exist_ok=True)
    with Image.open(source) as picture:
        picture = picture.convert("RGB")
        if source.name == "picture.png":
            picture.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
        picture.save(target, quality=88, method=4)
        size = {"width": picture.width, "height": picture.height}
    return {"file": f"{target.parent.name}/{target.name}", "caption": caption, **size}


def usage_text(table: pd.DataFrame) -> str:
    """Time and memory by rule, as Markdown."""
    shown = pd.DataFrame(
        {
            "stage": table["stage"],
            "step": [name.replace("_", " ") for name in table["rule"]],
            "jobs": table["jobs"].astype(str),
            "seconds, all": [number(value, 1) for value in table["seconds"]],
            "seconds, longest": [number(value, 1) for value in table["longest_s"]],
            "memory, most (MB)": [number(value, 0) for value in table["peak_mb"]],
        }
    )
    return markdown(shown) + "\nIncluding the start-up of each job, and jobs of earlier runs.\n"


def row_texts(values: dict[str, float]) -> list[str]:
    """A tumour's attributes as text, in the order of ``ROWS``."""
    return [number(values[name], 2 if name == "sphericity" else 1) for name in ROWS]


def centre(values: dict[str, float]) -> list[float] | None:
    """The centroid of a tumour in mm, as text; empty without a tumour."""
    centroid_mm = [float(values[f"centroid_{axis}_mm"]) for axis in AXES]
    return None if np.isnan(centroid_mm).any() else centroid_mm


def held_out_patient(
    folder: Path, phantom: bool, predictions: list[dict[str, Any]]
) -> dict[str, Any]:
    """The page's data of a preprocessed patient or ``phantom``, with its reference and its
    ``predictions`` (``prediction_facts``)."""
    values = read_table(folder / "attributes.tsv").iloc[0].to_dict()
    rows = zip(ROWS.values(), row_texts(values), strict=True)
    return {
        "title": f"{folder.name}, {'phantom' if phantom else 'real'}, held out",
        "columns": ["tumour", "measured"],
        "rows": list(rows),
        "centre": centre(values),
        "labels": [{"name": "label", "title": "reference"}, *predictions],
    }


def synthetic_patient(row: pd.Series) -> dict[str, Any]:
    """The page's data of a synthetic patient: requested and measured attributes, and the training
    patient with the nearest image."""
    requested, measured = (
        {n: row[f"{side}_{n}"] for n in ROWS} for side in ("requested", "measured")
    )
    rows = list(zip(ROWS.values(), row_texts(requested), row_texts(measured), strict=True))
    if row["anatomy"] != PHANTOM:
        rows.append(("made from the brain of", "", source_of(row["anatomy"])))
    if isinstance(nearest := row.get("image_patient"), str):
        rows.append(("nearest training patient", "", nearest))
    return {
        "title": f"{row['patient_id']}, synthetic",
        "columns": ["tumour", "requested", "measured"],
        "rows": rows,
        "centre": centre(measured),
        "labels": [{"name": "label", "title": "label map"}],
        "synthetic": True,
    }


def held_out_patients(
    tests: list[Path],
    phantom: bool,
    predictions: dict[str, list[Prediction]],
    scores: pd.DataFrame,
) -> dict[str, dict[str, Any]]:
    """The page's data of each test patient, by its name there."""
    return {
        f"real/{path.name}": held_out_patient(
            path,
            phantom,
            [failures.prediction_facts(scores, path.name, p) for p in predictions[path.name]],
        )
        for path in tests
    }


def write_volumes(
    folder: Path,
    known: dict[str, dict[str, Any]],
    tests: list[Path],
    synthetic: list[Path],
    predictions: dict[str, list[Prediction]],
    config: Config,
) -> list[dict[str, Any]]:
    """Write patients' volumes as scripts, alternating real and synthetic ones until the page is
    full, and return their entries in ``known``, real ones first."""
    pairs = zip_longest(
        [(f"real/{path.name}", path, predictions[path.name]) for path in tests],
        [(f"synthetic/{path.name}", path, []) for path in synthetic],
    )
    affine = Grid.from_settings(config.grid.model_dump()).affine
    options = (affine, config.modalities, config.labels)
    scripts = (
        (name, viewer.script(name, viewer.packed_volumes(Patient(path), *options, labels)))
        for name, path, labels in filter(None, chain.from_iterable(pairs))
    )
    patients = []
    for name, text in viewer.within(scripts, VOLUMES):
        file = folder / f"{name}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        entry = {"name": name, "file": f"{folder.name}/{name}.js"}
        patients.append({**known[name], **entry, "modalities": list(config.modalities)})
    return sorted(patients, key=lambda patient: patient["name"])


def failures_section(scores: pd.DataFrame, splits: list[str], patients: list[dict]) -> dict:
    """The section with the scores of each test patient; ``patients`` are in the viewer."""
    viewed = {p["name"].removeprefix("real/") for p in patients if not p.get("synthetic")}
    text = failures.note(scores, splits, len(viewed))
    table = failures.part(scores, viewed)
    return section(FAILURES, text, kind="failures") | {"table": table}


def problems_of(cohort: str | Path, natives: Iterable[str | Path]) -> list[Problem]:
    """Problems of the cohort's patients from ``problems.tsv``, and warnings of preprocessing from
    each patient's ``native.json``."""
    table = read_text_table(cohort)
    problems = [Problem(*row) for row in table.itertuples(index=False)]
    for file in map(Path, natives):
        for warning in read_json(file).get("warnings", []):
            problems.append(Problem("warning", file.parent.name, "", **warning))
    return problems


def problems_text(problems: list[Problem]) -> str:
    """A table of problems as Markdown, errors first; file names without folders."""

    def cell(text: str) -> str:
        return " ".join(text.split()).replace("|", "\\|")

    rows = [
        {
            "": problem.level,
            "patient": problem.patient_id or "all",
            "file": f"`{Path(problem.file).name}`" if problem.file else "",
            "problem": cell(problem.problem),
            "remedy": cell(problem.remedy),
        }
        for problem in sorted(problems, key=lambda problem: problem.level)
    ]
    return (
        "Patients with an error were excluded (`cohort.on_error: skip`); those with a warning were "
        "used.\n\n" + markdown(pd.DataFrame(rows))
    )


def parts(
    snakemake, folder: Path, config: Config, scores: pd.DataFrame, patients: list[dict]
) -> list[dict]:
    """All sections of the page; their pictures are copied."""
    inputs = snakemake.input
    text = sections(Path(inputs.summary).read_text(encoding="utf-8"))
    drawn = Path(inputs.figures)

    def figures(names: tuple[str, ...]) -> list[dict]:
        return [
            copied(drawn / f"{name}.png", folder / "figures" / name, CAPTIONS[name])
            for name in names
            # Some figures exist only if there is something to compare.
            if (drawn / f"{name}.png").is_file()
        ]

    kinds = {PROBLEMS: "problems", VERDICT: "verdict"}
    page_sections = [
        section(title, text[title], figures(names), kinds.get(title, ""))
        for title, names in FIGURES.items()
        if title in text
    ]
    position = next(i for i, part in enumerate(page_sections) if part["title"] == ASKED)
    page_sections[position:position] = [
        failures_section(scores, config.cohort.splits.viewed, patients),
        section("Look at patients", "", kind="viewer"),
    ]
    shown = [inputs.pictures[i] for i in evenly_chosen(len(inputs.pictures), PICTURES)]
    pictures = [
        copied(Path(p), folder / "pictures" / Path(p).parent.name, Path(p).parent.name)
        for p in shown
    ]
    before = (
        "Each patient before and after preprocessing. The blue line is the outline of the "
        "brain mask, the red line that of the tumour. Below are the tissue maps: grey matter, "
        "white matter and, in blue, CSF. L and R are the patient's."
    )
    if len(shown) < len(inputs.pictures):
        before += f" {len(shown)} of {len(inputs.pictures)}; all are in `preprocess/`."
    if problems := problems_of(inputs.problems, inputs.natives):
        page_sections.insert(0, section(PATIENTS, problems_text(problems), kind="problems"))
    splits = read_table(inputs.splits)
    return [
        *page_sections,
        section("Training", "", figures(TRAINING)),
        section("Preprocessing", before, pictures, "gallery"),
        section("Time and memory", usage_text(usage(snakemake.params.benchmarks))),
        section("Methods", methods(config, splits, package_versions())),
        section("Where to look", text["Where to look"]),
    ]


def facts(config: Config, splits: pd.DataFrame) -> str:
    """The line below the title, with facts about the run."""
    patients = splits["patient_id"].nunique()
    kind = "phantoms" if config.cohort.made else "patients"
    split_count, names = splits["split"].nunique(), [MODALITIES[m] for m in config.modalities]
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return (
        f"{patients} {kind}, {split_count} split{'s'[: split_count != 1]}, {listed}; "
        f"{', '.join(map(region_words, regions(config.labels)))}. Not a medical device."
    )


def main(snakemake) -> None:
    inputs, params = snakemake.input, snakemake.params
    config = check(params.config)
    short = sections(Path(inputs.summary).read_text(encoding="utf-8")).get(IN_SHORT, "")
    scores = failures.with_lesions(read_table(inputs.scores), config.cohort.splits.shown)
    worst = failures.order_of_patients(failures.worst_first(scores))
    tests = sorted((Path(p).parent for p in inputs.images), key=lambda p: worst.index(p.name))
    predictions = failures.predictions_by_patient(inputs.predictions)
    synthetic = patient_folders(inputs.synthetic[0])
    with staged_directory(snakemake.output.report) as folder:
        for name in COPIED:
            shutil.copyfile(PAGE / name, folder / name)
        attributes = read_table(inputs.attributes[0]).merge(
            read_table(inputs.neighbours[0]), on="patient_id", how="left"
        )
        by_name = attributes.set_index("patient_id", drop=False)
        known = held_out_patients(tests, config.cohort.made, predictions, scores)
        known |= {f"synthetic/{p.name}": synthetic_patient(by_name.loc[p.name]) for p in synthetic}
        patients = write_volumes(folder / "volumes", known, tests, synthetic, predictions, config)
        loader = jinja2.FileSystemLoader(PAGE)
        environment = jinja2.Environment(loader=loader, autoescape=True)
        page = environment.get_template("report.html.j2").render(
            results=Path(snakemake.output.report).parent.name,
            facts=facts(config, read_table(inputs.splits)),
            phantoms=config.cohort.made,
            short=html(short, IN_SHORT),
            sections=parts(snakemake, folder, config, scores, patients),
            configuration=yaml.safe_dump(params.config, sort_keys=False),
            patients=patients,
            colours=viewer.class_colours(config.labels),
        )
        (folder / "index.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
