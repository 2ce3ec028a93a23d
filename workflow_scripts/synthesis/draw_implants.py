"""Rule ``draw_implants``: requests for tumours to implant into training patients."""

import functools

import numpy as np
import pandas as pd

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling, ellipsoid_of
from workflow_scripts.synthesis.draw_requests import DRAWS, like_training, moved_to_fit
from workflow_scripts.synthesis.folder import COPIES
from workflow_scripts.synthesis.implants import enlarged, inside
from workflow_scripts.synthesis.requests import SEEDS_A_RUN, complete, has_room
from workflow_scripts.synthesis.settings import ImplantSettings
from workflow_scripts.synthesis.training_copies import TrainingCopies


def fits(request: pd.Series, copies: TrainingCopies, grid: Grid, settings: ImplantSettings) -> bool:
    """Whether the tumour of a completed request has room in its brain, beside the patient's own
    tumour if that is kept."""
    name = request["anatomy"]
    if not has_room(request, copies.brain(name), grid):
        return False
    if settings.own_tumour == "healed":
        return True
    ellipsoid = enlarged(ellipsoid_of(request.to_frame().T), settings.margin_mm)[0]
    return not (copies.tumour(name) & inside(ellipsoid, grid)).any()


def draw_implants(
    attributes: pd.DataFrame,
    copies: TrainingCopies,
    grid: Grid,
    settings: ImplantSettings,
    count: int,
    jitter: tuple[float, float],
    seed: int,
) -> pd.DataFrame:
    """Draw ``count`` requests, each for a tumour like the training tumours in a random training
    patient or copy whose brain has room for it."""
    rng, scaling = np.random.default_rng([seed, 3]), Scaling.fit(attributes)

    def fits_copy(table: pd.DataFrame, name: str) -> bool:
        request = complete(table.assign(anatomy=name), scaling, seed).iloc[0]
        return fits(request, copies, grid, settings)

    names, kept = list(copies.rows), []
    for _ in range(count * DRAWS):
        tumour = like_training(attributes, jitter[0], rng)
        name = names[rng.integers(len(names))]
        fits_here = functools.partial(fits_copy, name=name)
        if (table := moved_to_fit(tumour, jitter[1], fits_here, rng)) is not None:
            kept.append(table.assign(anatomy=name))
        if len(kept) == count:
            requests = complete(pd.concat(kept), scaling, seed)
            requests["patient_id"] = [f"implanted-{row + 1:04d}" for row in range(count)]
            # Other noise than that of ordinary synthetic patients, whose seeds count from 0.
            requests["seed"] += SEEDS_A_RUN // 2
            return requests.assign(background="kept")
    other = ", or set synthesis.implant.own_tumour to healed" * (settings.own_tumour == "kept")
    raise UserError(
        "synthesis.jitter and jitter_mm: hardly any drawn tumour has room in a training patient; "
        f"make them smaller{other}"
    )


def main(snakemake) -> None:
    inputs, params = snakemake.input, snakemake.params
    copies = TrainingCopies.load(*(inputs[name] for name in COPIES))
    table = draw_implants(
        read_table(inputs.attributes),
        copies,
        Grid.from_settings(params.grid),
        ImplantSettings.model_validate(params.implant),
        params.patients,
        (params.jitter, params.jitter_mm),
        params.seed,
    )
    write_table(table, snakemake.output.requests)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
