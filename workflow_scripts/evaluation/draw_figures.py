"""Rule ``draw_figures``: figures of synthetic patients and of the results."""

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
from workflow_scripts.evaluation import plots, slice_figures
from workflow_scripts.evaluation.figure_style import note, style

PAIRS = 4
# The first synthetic patients are a random sample, since requests are drawn at random.
SHEET = 12
# Headings for held-out patients, which are not called real if they are phantoms.
HELD_OUT = {False: "REAL, held out", True: "PHANTOM, held out"}
NEAREST = ("SYNTHETIC", "NEAREST TRAINING PATIENT")
ALIKE = ("SYNTHETIC", "SYNTHETIC")


def tumour_ml(patient: Patient, grid: Grid) -> float:
    """Volume of a patient's whole tumour in mL."""
    return float((patient.label_slices > 0).sum()) * grid.voxel_ml


def pair_by_volume(
    real: list[Patient], synthetic: list[Patient], grid: Grid, count: int
) -> list[tuple[Patient, Patient]]:
    """Held-out patients with evenly spaced tumour volumes, each with the synthetic patient of the
    closest volume.

    No patient is shown twice.
    """
    real = sorted(real, key=lambda patient: tumour_ml(patient, grid))
    count = min(count, len(real), len(synthetic))
    places = np.linspace(0, len(real) - 1, count + 2)[1:-1].round().astype(int)
    remaining, pairs = list(synthetic), []
    for patient in [real[position] for position in dict.fromkeys(places.tolist())]:
        volume = np.log1p(tumour_ml(patient, grid))
        nearest = min(remaining, key=lambda p: abs(np.log1p(tumour_ml(p, grid)) - volume))
        remaining.remove(nearest)
        pairs.append((patient, nearest))
    return pairs


def nearest_pairs(
    neighbours: pd.DataFrame, synthetic: list[Patient], training: dict[str, Patient], count: int
) -> list[tuple[Patient, Patient]]:
    """The synthetic patients whose images are closest to a training patient's, each with that
    patient, mirrored if the mirror image is closer."""
    by_id = {patient.patient_id: patient for patient in synthetic}
    rows = neighbours.sort_values("image_distance").head(count)
    return [
        (by_id[str(r.patient_id)], Patient(training[str(r.image_patient)].folder, r.image_mirrored))
        for r in rows.itertuples()
    ]


def requested_places(table: pd.DataFrame) -> NDArray[np.float64]:
    """Requested centroids (N, 3) in mm."""
    return table[[f"requested_centroid_{axis}_mm" for axis in AXES]].to_numpy(float)


def draw_sweeps(files, params, options: tuple) -> dict[str, Figure]:
    """Figures of the sweeps: several volumes at one centroid, and one volume at several
    centroids."""
    table = read_table(files.sweep_attributes[0])
    # Requests without a tumour in any draw have no patient to show.
    table = table[table["measured_volume_ml"] > 0].sort_values("requested_volume_ml", kind="stable")
    drawn = {}
    for kind, title in {
        "size": "Volume at one centroid",
        "place": "Centroid at one volume",
    }.items():
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
        drawn[f"{kind}_sweep"] = slice_figures.sweep(
            swept, headings, centres, *options, f"{title}, {split_words(params.shown)}"
        )
    return drawn


def patients_in(folder: str | Path) -> list[Patient]:
    """Patients in a folder, sorted by name."""
    return [Patient(path) for path in patient_folders(folder)]


def draw_images(files, params, grid: Grid) -> dict[str, Figure]:
    """The figures of slices for one split: held-out beside synthetic patients, and the sweeps."""
    words = split_words(params.shown)
    synthetic = patients_in(files.synthetic[0])
    real = [Patient(Path(path).parent) for path in files.images]
    options = (grid, params.modalities, params.labels)
    drawn = dict.fromkeys(
        ("real_and_synthetic", "synthetic_patients", "nearest_training_patients"),
        note(f"No patient with a tumour with {words}"),
    )
    if pairs := pair_by_volume(real, synthetic, grid, PAIRS):
        title = f"Held-out and synthetic patients, {words}"
        heads = HELD_OUT[params.phantoms], "SYNTHETIC"
        drawn["real_and_synthetic"] = slice_figures.side_by_side(pairs, *options, title, heads)
    if pairs := list(zip(synthetic[:SHEET:2], synthetic[1:SHEET:2], strict=False)):
        title = f"The first {2 * len(pairs)} synthetic patients, {words}"
        drawn["synthetic_patients"] = slice_figures.side_by_side(
            pairs, *options, title, ALIKE, contours=False
        )
    training = {Path(p).parent.name: Patient(Path(p).parent) for p in files.training}
    if pairs := nearest_pairs(read_table(files.neighbours[0]), synthetic, training, PAIRS):
        title = f"Synthetic patients nearest to a training patient, {words}"
        drawn["nearest_training_patients"] = slice_figures.side_by_side(
            pairs, *options, title, NEAREST, same_cut=True
        )
    return drawn | draw_sweeps(files, params, options)


def draw_plots(files, params) -> dict[str, Figure]:
    """The plots for all splits: training curves, adherence and Dice."""

    def tables(paths, keys) -> dict:
        return dict(zip(keys, map(read_table, paths), strict=True))

    generators = {s: tables(files[s], params.splits) for s in ("autoencoder", "diffusion")}
    trainings = [(split, arm) for split in params.splits for arm in params.arms]
    scores, arms = read_table(files.scores), params.arms
    options = (scores, arms, params.confidence)
    drawn = {"dice_by_n": plots.dice_by_n(*options)} if scores["n"].nunique() > 1 else {}
    return drawn | {
        "training_curves": plots.training_curves(generators, tables(files.segmentation, trainings)),
        "requested_and_measured": plots.adherence_scatter(tables(files.attributes, params.splits)),
        "dice_by_arm": plots.dice_by_arm(*options),
    }


def main(snakemake) -> None:
    files, params = snakemake.input, snakemake.params
    with style(), staged_directory(snakemake.output.figures) as folder:
        drawn = draw_plots(files, params) | draw_images(
            files, params, Grid.from_settings(params.grid)
        )
        for name, figure in drawn.items():
            # Without the name of the software, equal figures are equal files.
            figure.savefig(folder / f"{name}.png", metadata={"Software": None})


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
