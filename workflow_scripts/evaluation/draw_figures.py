"""Rule ``draw_figures``: what a run made and how well, to look at."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from workflow_scripts.common.attributes import AXES
from workflow_scripts.common.files import read_table, staged_directory
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, patient_folders
from workflow_scripts.common.words import split_words
from workflow_scripts.evaluation import plots, slices
from workflow_scripts.evaluation.look import note, style

PAIRS = 4
# Requests are drawn at random: so are the first of them.
SHEET = 12
# Of held-out patients by whether they are phantoms, which are never called real.
HELD_OUT = {False: "REAL, held out", True: "PHANTOM, held out"}
NEAREST = ("SYNTHETIC", "NEAREST TRAINING PATIENT")
ALIKE = ("SYNTHETIC", "SYNTHETIC")


def tumour_ml(patient: Patient, grid: Grid) -> float:
    """Volume of a patient's whole tumour in mL."""
    return float((patient.label_slices > 0).sum()) * grid.voxel_ml


def pair_by_volume(
    real: list[Patient], synthetic: list[Patient], grid: Grid, count: int
) -> list[tuple[Patient, Patient]]:
    """Held-out patients of evenly spread tumour volumes, each with the synthetic one nearest in
    volume.

    No patient is shown twice.
    """
    real = sorted(real, key=lambda patient: tumour_ml(patient, grid))
    count = min(count, len(real), len(synthetic))
    places = np.linspace(0, len(real) - 1, count + 2)[1:-1].round().astype(int)
    left, pairs = list(synthetic), []
    for patient in [real[position] for position in dict.fromkeys(places.tolist())]:
        volume = np.log1p(tumour_ml(patient, grid))
        nearest = min(left, key=lambda p: abs(np.log1p(tumour_ml(p, grid)) - volume))
        left.remove(nearest)
        pairs.append((patient, nearest))
    return pairs


def nearest_pairs(
    neighbours: pd.DataFrame, synthetic: list[Patient], training: dict[str, Patient], count: int
) -> list[tuple[Patient, Patient]]:
    """The synthetic patients whose images come nearest to a training patient's, each with that one,
    mirrored where so it is the nearest."""
    by_id = {patient.patient_id: patient for patient in synthetic}
    rows = neighbours.sort_values("image_distance").head(count)
    return [
        (by_id[str(r.patient_id)], Patient(training[str(r.image_patient)].folder, r.image_mirrored))
        for r in rows.itertuples()
    ]


def requested_places(table: pd.DataFrame) -> NDArray[np.float64]:
    """Where tumours were asked for (N, 3), in mm."""
    return table[[f"requested_centroid_{axis}_mm" for axis in AXES]].to_numpy(float)


def draw_sweeps(files, params, look: tuple) -> dict[str, Figure]:
    """Tumours of several sizes at one place, and of one size at several places."""
    table = read_table(files.sweep_attributes[0])
    # A request in which no draw had a tumour gave no patient to show.
    table = table[table["measured_volume_ml"] > 0].sort_values("requested_volume_ml", kind="stable")
    drawn = {}
    for kind, title in {"size": "Size at one place", "place": "Place at one size"}.items():
        rows = table[table["patient_id"].astype(str).str.startswith(kind)]
        if rows.empty:
            drawn[f"{kind}_sweep"] = note(f"No such tumour with {split_words(params.shown)}")
            continue
        swept = [Patient(Path(files.sweep[0]) / str(name)) for name in rows["patient_id"]]
        centres, volumes = requested_places(rows), rows["requested_volume_ml"]
        at = [", ".join(f"{value:.0f}" for value in centre) for centre in centres]
        headings = [f"requested {ml:.0f} mL" for ml in volumes]
        if kind == "place":
            headings = [
                f"{centroid} mm\n{heading}" for centroid, heading in zip(at, headings, strict=True)
            ]
        else:
            title += f" ({at[0]} mm)"
        drawn[f"{kind}_sweep"] = slices.sweep(
            swept, headings, centres, *look, f"{title}, {split_words(params.shown)}"
        )
    return drawn


def patients_in(folder: str | Path) -> list[Patient]:
    """Patients in a folder of folders, in the order of their names."""
    return [Patient(path) for path in patient_folders(folder)]


def draw_images(files, params, grid: Grid) -> dict[str, Figure]:
    """The figures of slices: held-out beside synthetic patients, and the sweeps, of one split."""
    words = split_words(params.shown)
    synthetic = patients_in(files.synthetic[0])
    real = [Patient(Path(path).parent) for path in files.images]
    look = (grid, params.modalities, params.labels)
    drawn = dict.fromkeys(
        ("real_and_synthetic", "synthetic_patients", "nearest_training_patients"),
        note(f"No patient with a tumour with {words}"),
    )
    if pairs := pair_by_volume(real, synthetic, grid, PAIRS):
        title = f"Held-out and synthetic patients, {words}"
        heads = HELD_OUT[params.phantoms], "SYNTHETIC"
        drawn["real_and_synthetic"] = slices.side_by_side(pairs, *look, title, heads)
    if pairs := list(zip(synthetic[:SHEET:2], synthetic[1:SHEET:2], strict=False)):
        title = f"The first {2 * len(pairs)} synthetic patients, {words}"
        drawn["synthetic_patients"] = slices.side_by_side(
            pairs, *look, title, ALIKE, contours=False
        )
    training = {Path(p).parent.name: Patient(Path(p).parent) for p in files.training}
    if pairs := nearest_pairs(read_table(files.neighbours[0]), synthetic, training, PAIRS):
        title = f"Synthetic patients that come nearest to a training patient, {words}"
        drawn["nearest_training_patients"] = slices.side_by_side(
            pairs, *look, title, NEAREST, same_cut=True
        )
    return drawn | draw_sweeps(files, params, look)


def draw_plots(files, params) -> dict[str, Figure]:
    """The figures of numbers: training curves, adherence and Dice, of all splits."""

    def tables(paths, keys) -> dict:
        return dict(zip(keys, map(read_table, paths), strict=True))

    generators = {s: tables(files[s], params.splits) for s in ("autoencoder", "diffusion")}
    trainings = [(split, arm) for split in params.splits for arm in params.arms]
    scores, arms = read_table(files.scores), params.arms
    look = (scores, arms, params.confidence)
    drawn = {"dice_by_n": plots.dice_by_n(*look)} if scores["n"].nunique() > 1 else {}
    return drawn | {
        "training_curves": plots.training_curves(generators, tables(files.segmentation, trainings)),
        "requested_and_measured": plots.adherence_scatter(tables(files.attributes, params.splits)),
        "dice_by_arm": plots.dice_by_arm(*look),
    }


def main(snakemake) -> None:
    files, params = snakemake.input, snakemake.params
    with style(), staged_directory(snakemake.output.figures) as folder:
        drawn = draw_plots(files, params) | draw_images(
            files, params, Grid.from_settings(params.grid)
        )
        for name, figure in drawn.items():
            # Without the name of the software, the same figure is the same file.
            figure.savefig(folder / f"{name}.png", metadata={"Software": None})


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
