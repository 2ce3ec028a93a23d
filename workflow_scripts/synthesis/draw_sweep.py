"""Rule ``draw_sweep``: tumours of several volumes at one centroid, and of one volume at several."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.common.files import read_table, write_table
from workflow_scripts.common.grid import Grid
from workflow_scripts.diffusion.conditions import Scaling
from workflow_scripts.synthesis.request_table import CENTROID
from workflow_scripts.synthesis.requests import complete, load_brain, reason_to_refuse


@dataclass(frozen=True)
class Room:
    """What decides whether a request is possible: scaling of the model's conditions, brain mask
    (X, Y, Z) and its grid."""

    scaling: Scaling
    brain: NDArray[np.bool_]
    grid: Grid

    def fitting(self, table: pd.DataFrame, name: str, seed: int) -> pd.DataFrame:
        """The requests that have room in the brain, completed and named, all with one seed."""
        table = table.assign(
            seed=seed, patient_id=[f"{name}-{k + 1:02d}" for k in range(len(table))]
        )
        table = complete(table, self.scaling, seed)
        reasons = [reason_to_refuse(row, self.brain, self.grid) for _, row in table.iterrows()]
        return table[[reason is None for reason in reasons]]


def sizes(attributes: pd.DataFrame, room: Room, volumes: list[float], seed: int) -> pd.DataFrame:
    """Requests of several volumes (mL) at one training tumour's centroid, with one seed.

    The centroid is the one with room for most of the volumes; volumes without room are omitted.
    """
    tables = []
    for _, row in attributes.iterrows():
        table = pd.DataFrame({"volume_ml": volumes, **{name: row[name] for name in CENTROID}})
        tables.append(room.fitting(table, "size", seed))
    return max(tables, key=len)


def places(
    attributes: pd.DataFrame, room: Room, volume: float, count: int, seed: int
) -> pd.DataFrame:
    """Requests of one volume (mL) at training tumours' centroids, with one seed.

    Of the centroids with room, ``count`` are chosen, each as far as possible from those before, and
    sorted from left to right.
    """
    table = attributes[list(CENTROID)].assign(volume_ml=volume)
    requests = room.fitting(table, "place", seed)
    points = requests[list(CENTROID)].to_numpy(float)
    chosen = [0] if count and len(points) else []
    while len(chosen) < min(count, len(points)):
        gaps = np.linalg.norm(points[:, None] - points[chosen], axis=-1).min(axis=1)
        chosen.append(int(gaps.argmax()))
    requests = requests.iloc[chosen].sort_values(CENTROID[0])
    return requests.assign(patient_id=[f"place-{k + 1:02d}" for k in range(len(requests))])


def main(snakemake) -> None:
    params = snakemake.params
    attributes = read_table(snakemake.input.attributes)
    grid = Grid.from_settings(params.grid)
    room = Room(Scaling.fit(attributes), load_brain(snakemake.input.brain, grid), grid)
    patients = attributes[attributes["copy"] == 0]
    tables = [
        sizes(patients, room, params.volumes_ml, params.seed),
        places(patients, room, params.place_ml, params.places, params.seed),
    ]
    write_table(pd.concat(tables), snakemake.output.requests)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
