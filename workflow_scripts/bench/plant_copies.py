"""Test of the check for copies on a finished run, with generators that are known to copy:

python -m workflow_scripts.bench.plant_copies results n8-s0
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from workflow_scripts.autoencoder.augment import augment_patient
from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.autoencoder.settings import WarpSettings
from workflow_scripts.common.files import UserError, read_json
from workflow_scripts.common.subsets import evenly_chosen
from workflow_scripts.evaluation.evaluate_memory import load_trained, patients_of_run
from workflow_scripts.evaluation.memory import (
    Encoded,
    Trained,
    encode_item,
    encoded,
    fit_space,
    flagged,
    judge,
    nearest_items,
)
from workflow_scripts.evaluation.tables import markdown, number, p_text

# Number of decoded training latents from each planted generator.
COPIES = 16
# Strengths of the warps relative to those of the denoiser's training copies.
STRENGTHS = (0.25, 0.5, 1.0)
# Values that are not strengths: resolution of the elastic field, and mirroring.
KEPT = ("knots_mm", "mirror")
# In a mixture, one in so many patients is a copy.
EVERY = 4


def weakened(warp: WarpSettings, strength: float) -> WarpSettings:
    """A warp whose amounts are multiplied by ``strength``, never mirrored."""
    values = {
        name: value if name in KEPT else value * strength
        for name, value in warp.model_dump().items()
    }
    return WarpSettings.model_validate({**values, "mirror": 0})


def mirrored_item(trained: Trained, index: int, codec) -> Encoded:
    """A decoded training latent, mirrored in x."""
    image, label, _ = codec.decode(trained.latents[index].astype(np.float32))
    return encoded(f"{index}, mirrored", image[:, ::-1], label[::-1], codec)


def warped_item(trained: Trained, index: int, codec, warp: WarpSettings) -> Encoded:
    """A decoded training latent, warped and re-contrasted once more."""
    image, label, _ = codec.decode(trained.latents[index].astype(np.float32))
    rng = np.random.default_rng(index)
    no_tissue = image[:0]
    image, label, _ = augment_patient(image, label, no_tissue, codec.grid, warp, rng)
    return encoded(f"{index}, warped", image, label, codec)


def copiers(trained: Trained, codec, warp: WarpSettings) -> dict[str, list[Callable[[], Encoded]]]:
    """Generators that copy: unchanged, mirrored, and warped by fractions of the training's
    ``warp``."""
    chosen = evenly_chosen(len(trained.latents), COPIES)
    generators = {
        "copier": [partial(encode_item, trained, index, codec) for index in chosen],
        "copier, mirrored": [partial(mirrored_item, trained, index, codec) for index in chosen],
    }
    for strength in STRENGTHS:
        generators[f"copier, {strength:g} of the warp"] = [
            partial(warped_item, trained, index, codec, weakened(warp, strength))
            for index in chosen
        ]
    return generators


def verdict_on(
    patients: pd.DataFrame, held_out: pd.DataFrame, planted: pd.DataFrame
) -> dict[str, float | str]:
    """The result of ``judge`` with ``patients``, rows of ``nearest_items``, as the synthetic
    ones."""
    groups = {"synthetic": patients, "held-out": held_out, "planted": planted}
    parts = [table.assign(group=name) for name, table in groups.items()]
    return judge(flagged(pd.concat(parts, ignore_index=True)))


def truths(
    groups: dict[str, Sequence[Callable[[], Encoded]]],
    copying: dict[str, Sequence[Callable[[], Encoded]]],
    trained: Trained,
) -> pd.DataFrame:
    """Verdicts on planted generators, one row each, with the numbers of ``judge``.

    ``groups`` are those of the run (``patients_of_run``), ``copying`` the ``copiers``. Further rows
    are a mixture, in which one patient in ``EVERY`` is a copy and the others are the run's
    synthetic patients, and each half of the held-out patients against the other half.
    """
    space = fit_space(trained)
    near = {
        name: nearest_items(patients, trained, space)
        for name, patients in {**groups, **copying}.items()
    }
    synthetic, held_out, planted = (near[name] for name in ("synthetic", "held-out", "planted"))
    count = max(1, len(synthetic) // EVERY)
    mixture = pd.concat([near["copier"].iloc[:count], synthetic.iloc[count:]])
    rows = [{"generator": "the run's", **verdict_on(synthetic, held_out, planted)}]
    for name in copying:
        rows.append({"generator": name, **verdict_on(near[name], held_out, planted)})
    rows.append({"generator": f"{count} copies", **verdict_on(mixture, held_out, planted)})
    halves = held_out.iloc[::2], held_out.iloc[1::2]
    for name, (half, other) in zip(("first", "second"), (halves, halves[::-1]), strict=True):
        rows.append({"generator": f"held-out, {name} half", **verdict_on(half, other, planted)})
    return pd.DataFrame(rows)


def text(table: pd.DataFrame) -> str:
    """The verdicts as a Markdown table."""
    shown = table[["generator", "synthetic", "held_out", "copies", "latent_nearer"]].astype(str)
    for name in ("limit", "latent_median_synthetic", "latent_median_held_out"):
        shown[name] = [number(value, 3) for value in table[name]]
    shown["nearer_p"] = [p_text(value) for value in table["latent_nearer_p"]]
    shown["Dice to a training tumour"] = [
        number(1 - value, 2) for value in table["mask_median_synthetic"]
    ]
    shown["same_tumours"], shown["verdict"] = table["same_tumours"].astype(str), table["verdict"]
    return markdown(shown)


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("split")
def main(results: Path, split: str) -> None:
    """Plant copies of the training data of a SPLIT's denoiser in RESULTS, and print the results of
    the check for copies."""
    torch.set_num_threads(1)
    stage = results / "autoencoder" / split
    needed = [stage / name for name in ("latents.npy", "tumours.npy", "attributes.tsv")]
    for file in needed:
        if not file.is_file():
            raise click.ClickException(f"{file} is missing; run evaluate_memory for {split}")
    try:
        record = read_json(stage / "provenance" / "encode_patients.json")
        codec = Codec.load(stage / "model")
    except UserError as error:
        raise click.ClickException(str(error)) from None
    trained = load_trained(*needed, stage / "brain.nii.gz")
    patients = results / "synthesis" / split / "patients"
    groups = patients_of_run(patients, stage / "reconstructions", trained, codec)
    warp = WarpSettings.model_validate(record["params"]["warp"])
    click.echo(text(truths(groups, copiers(trained, codec, warp), trained)))


if __name__ == "__main__":
    main()
