"""Rule ``measure_speed``: one repetition of all steps of three systems on volumes of the same
size."""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from workflow_scripts.bench.measure import measure
from workflow_scripts.bench.monai_ldm3d import VolumeSystem
from workflow_scripts.bench.sliced import SlicedSystem
from workflow_scripts.bench.timed_step import STEPS
from workflow_scripts.common.files import read_json, write_json, write_table
from workflow_scripts.common.job_folder import kept_folder
from workflow_scripts.configuration import check

logger = logging.getLogger(__name__)


def systems(configs: dict[str, dict], slices: int, volumes: int) -> dict[str, Callable]:
    """The paper's system, MONAI's and ours by name, each built in its measuring process."""
    paper, ours = check(configs["paper"]), check(configs["sbldm"])
    return {
        "paper": SlicedSystem(paper, slices, volumes, encodes_anew=True),
        "ldm3d": VolumeSystem(ours, ours.autoencoder.precision, volumes),
        "sbldm": SlicedSystem(ours, slices, volumes),
    }


def main(snakemake) -> None:
    params = snakemake.params
    compared = systems(params.configs, params.slices, params.volumes)
    rows = []
    with kept_folder(snakemake) as folder:
        # Systems alternate, so that a temporarily slow machine affects all of them.
        for step in STEPS:
            for name, system in compared.items():
                kept = Path(folder) / f"{name}-{step}.json"
                if not kept.exists():
                    build = getattr(system, step)
                    write_json(measure(build, params.seconds, snakemake.threads), kept)
                measurement = read_json(kept) or {"seconds": float("nan")}
                logger.info("%s, %s: %.3g s", name, step, measurement["seconds"])
                rows.append({"system": name, "step": step, **measurement})
    table = pd.DataFrame(rows)
    table["evaluations"] = table["system"].map({n: s.evaluations for n, s in compared.items()})
    shape = compared["sbldm"].grid.shape
    table["slices"], table["geometry"] = shape[2], "x".join(map(str, shape))
    write_table(table, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
