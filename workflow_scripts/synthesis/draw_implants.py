"""Rule ``draw_implants``: requests for tumours to implant into training patients."""

import numpy as np
import pandas as pd

from workflow_scripts.common.files import UserError, read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import ellipsoid_of
from workflow_scripts.synthesis.draw_requests import Variety, draw_fitting
from workflow_scripts.synthesis.folder import COPIES
from workflow_scripts.synthesis.implants import enlarged, inside
from workflow_scripts.synthesis.requests import SEEDS_A_RUN, has_room
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
    variety: Variety,
    seed: int,
) -> pd.DataFrame:
    """Draw ``count`` requests, each for a tumour like the training tumours in a random training
    patient or copy whose brain has room for it."""
    requests = draw_fitting(
        attributes,
        list(copies.rows),
        lambda request: fits(request, copies, grid, settings),
        count,
        variety,
        seed,
        np.random.default_rng([seed, 3]),
    )
    if requests is None:
        other = ", or set synthesis.implant.own_tumour to healed" * (settings.own_tumour == "kept")
        raise UserError(
            "synthesis.jitter and jitter_mm: hardly any drawn tumour has room in a training "
            f"patient; make them smaller{other}"
        )
    requests["patient_id"] = [f"implanted-{row + 1:04d}" for row in range(count)]
    # Other noise than that of ordinary synthetic patients, whose seeds count from 0.
    requests["seed"] += SEEDS_A_RUN // 2
    return requests.assign(background="kept")


def main(snakemake) -> None:
    inputs, params = snakemake.input, snakemake.params
    copies = TrainingCopies.load(*(inputs[name] for name in COPIES))
    table = draw_implants(
        read_table(inputs.attributes),
        copies,
        Grid.from_settings(params.grid),
        ImplantSettings.model_validate(params.implant),
        params.patients,
        Variety.of(params),
        params.seed,
    )
    write_table(table, snakemake.output.requests)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
