"""Rule ``draw_sweep``: tumours of several sizes at one place."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling
from workflow_scripts.synthesis.request_table import CENTROID
from workflow_scripts.synthesis.requests import complete, load_brain, reason_to_refuse


def sweep(
    attributes: pd.DataFrame,
    scaling: Scaling,
    brain: NDArray[np.bool_],
    grid: Grid,
    volumes: list[float],
    seed: int,
) -> pd.DataFrame:
    """Requests of several volumes (mL) at one training tumour's place, with one seed.

    The place is the one with room for most of the volumes; those that find none are left out.
    """
    tables = []
    for _, row in attributes.iterrows():
        table = pd.DataFrame({"volume_ml": volumes, **{name: row[name] for name in CENTROID}})
        table["patient_id"] = [f"sweep-{number + 1:02d}" for number in range(len(table))]
        table["seed"] = seed
        table = complete(table, scaling, seed)
        fits = [reason_to_refuse(request, brain, grid) is None for _, request in table.iterrows()]
        tables.append(table[fits])
    return max(tables, key=len)


def main(snakemake) -> None:
    params = snakemake.params
    attributes = read_table(snakemake.input.attributes)
    grid = Grid.from_settings(params.grid)
    table = sweep(
        attributes[attributes["copy"] == 0],
        Scaling.fit(attributes),
        load_brain(snakemake.input.brain, grid),
        grid,
        params.volumes_ml,
        params.seed,
    )
    write_table(table, snakemake.output.requests)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
