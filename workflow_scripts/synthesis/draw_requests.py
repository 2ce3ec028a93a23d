"""Rule ``draw_requests``: requests for synthetic patients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.attributes import AXES, CONDITIONS, SHARES
from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling
from workflow_scripts.synthesis.folder import COPIES
from workflow_scripts.synthesis.request_table import PHANTOM
from workflow_scripts.synthesis.requests import complete, has_room, load_brain
from workflow_scripts.synthesis.training_copies import TrainingCopies

# Tumours drawn for each request, and centroids drawn for each tumour, until one has room.
DRAWS, MOVES = 50, 50
# Largest uniform share of the core; that of BraTS tumours is 0.05 to 0.7.
LARGEST_CORE = 0.7


@dataclass(frozen=True)
class Variety:
    """How drawn tumours differ from the training tumours.

    ``jitter`` is the standard deviation of the log volume, ``jitter_mm`` that of the centroid along
    each axis. With ``shares`` = uniform the shares of core and enhancing tumour are drawn
    independently of the training tumours.
    """

    jitter: float
    jitter_mm: float
    shares: str = "training"

    @classmethod
    def of(cls, params) -> "Variety":
        """From a rule's parameters."""
        return cls(params.jitter, params.jitter_mm, params.shares)


def like_training(
    attributes: pd.DataFrame, variety: Variety, rng: np.random.Generator
) -> pd.Series:
    """A random training tumour (including augmented copies) with jittered volume.

    Sphericity and the box's proportions are not changed, so that the combination remains possible.
    Tumours without regions keep their empty shares.
    """
    chosen = attributes.iloc[rng.integers(len(attributes))]
    row = chosen.reindex([*CONDITIONS, *SHARES]).astype(float)
    growth = np.exp(rng.normal(0, variety.jitter))
    row["volume_ml"] *= growth
    for axis in AXES:
        row[f"box_{axis}_mm"] *= np.cbrt(growth)
    if variety.shares == "uniform" and row[list(SHARES)].notna().all():
        core = rng.uniform(0, LARGEST_CORE)
        row[list(SHARES)] = core, core * rng.uniform()
    return row


def draw_fitting(
    attributes: pd.DataFrame,
    anatomies: list[str],
    fits: Callable[[pd.Series], bool],
    count: int,
    variety: Variety,
    seed: int,
    rng: np.random.Generator,
) -> pd.DataFrame | None:
    """Draw ``count`` completed requests that ``fits`` accepts, each for a tumour like the training
    tumours (``attributes``) in a random one of the ``anatomies``; ``None`` if hardly any fits.

    A tumour is the same for all centroids that are tried for it, so that large ones do not become
    rare.
    """
    scaling, kept = Scaling.fit(attributes), []
    for _ in range(count * DRAWS):
        tumour = pd.DataFrame([like_training(attributes, variety, rng)])
        tumour["anatomy"] = anatomies[rng.integers(len(anatomies))]
        for _ in range(MOVES):
            table = tumour.copy()
            for axis in AXES:
                table[f"centroid_{axis}_mm"] += rng.normal(0, variety.jitter_mm)
            if fits(complete(table, scaling, seed).iloc[0]):
                kept.append(table)
                break
        if len(kept) == count:
            return complete(pd.concat(kept), scaling, seed)
    return None


def draw(
    attributes: pd.DataFrame,
    brain: NDArray[np.bool_],
    grid: Grid,
    count: int,
    variety: Variety,
    seed: int,
) -> pd.DataFrame:
    """Draw ``count`` requests with room in the brain mask (X, Y, Z). Raises ``UserError`` if hardly
    any has room."""
    requests = draw_fitting(
        attributes,
        [PHANTOM],
        lambda request: has_room(request, brain, grid),
        count,
        variety,
        seed,
        np.random.default_rng([seed, 2]),
    )
    if requests is None:
        raise UserError(
            "synthesis.jitter and jitter_mm: hardly any drawn request has room in the brain; make "
            "them smaller"
        )
    return requests


def choose_anatomies(
    requests: pd.DataFrame, copies: TrainingCopies, grid: Grid, seed: int
) -> list[str]:
    """For each completed request, the name of a random training patient or copy whose brain has
    room for the tumour. Raises ``UserError`` for a request that fits into none."""
    rng, names = np.random.default_rng([seed, 4]), list(copies.rows)
    chosen = []
    for _, request in requests.iterrows():
        order = (names[k] for k in rng.permutation(len(names)))
        name = next((n for n in order if has_room(request, copies.brain(n), grid)), None)
        if name is None:
            raise UserError(
                f"{request['patient_id']}: its tumour has room in no training patient; make "
                "synthesis.jitter and jitter_mm smaller, or set synthesis.anatomy to phantom"
            )
        chosen.append(name)
    return chosen


def main(snakemake) -> None:
    params = snakemake.params
    attributes = read_table(snakemake.input.attributes)
    if snakemake.input.requests:
        requests = read_table(snakemake.input.requests)
        table = complete(requests, Scaling.fit(attributes), params.seed)
    else:
        grid = Grid.from_settings(params.grid)
        brain = load_brain(snakemake.input.brain, grid)
        variety = Variety.of(params)
        table = draw(attributes, brain, grid, params.patients, variety, params.seed)
        if params.anatomy == "patients":
            copies = TrainingCopies.load(*(snakemake.input[name] for name in COPIES))
            table["anatomy"] = choose_anatomies(table, copies, grid, params.seed)
    write_table(table, snakemake.output.requests)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
