"""Run what is left of the study, one cell after the other: ``make study``.

    python -m workflow_scripts.study.run brats /data/BraTS2021

Each cell's rows are added to the tables in ``docs/study`` when it is finished. A cell that was
stopped goes on from its checkpoints; one that is in the tables is not run again.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from workflow_scripts.common.files import UserError
from workflow_scripts.common.provenance import machine
from workflow_scripts.common.strict_yaml import read_yaml
from workflow_scripts.study.tables import Cell, add_cell, cells_left, finished_cells

TABLES = Path("docs/study")


@dataclass(frozen=True)
class Setup:
    """How a cohort of the study is run: configuration files, of which the last has the cells, and
    the key of ``cohort`` that names its data; phantoms have none."""

    files: tuple[str, ...]
    key: str | None = None

    def settings(self) -> dict:
        """The last configuration file."""
        return read_yaml(self.files[-1])


SETUPS = {
    "phantoms": Setup(("config/study_phantoms.yaml",)),
    "brats": Setup(("config/brats_3mm.yaml", "config/study_brats.yaml"), "root"),
    "lgg": Setup(("config/lgg.yaml", "config/study_lgg.yaml"), "table"),
}


def wanted_cells(cohort: str, settings: dict) -> list[Cell]:
    """All cells of a cohort's configuration: all sizes of a seed, then the next seed."""
    splits = settings["cohort"]["splits"]
    return [Cell(cohort, n, seed) for seed in splits["seeds"] for n in splits["train_sizes"]]


def command_of(setup: Setup, data: str | None, cell: Cell) -> list[str]:
    """The Snakemake command of one cell; ``data`` is the path that ``setup.key`` names."""
    cohort = {"splits": {"train_sizes": [cell.n], "seeds": [cell.seed]}}
    if setup.key:
        cohort[setup.key] = data
    # JSON is YAML, and quotes what a path may hold.
    return [
        sys.executable, "-m", "snakemake", "--logger", "stages", "--cores", "all",
        "--configfile", *setup.files, "--config", f"cohort={json.dumps(cohort)}",
    ]  # fmt: skip


def commit() -> str:
    """The commit that runs, as g and its number, with ``+changes`` where files of the workflow
    differ from it."""

    def git(*arguments: str) -> str:
        made = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return made.stdout.strip() if made.returncode == 0 else ""

    changed = git("status", "--porcelain", "-uno", "--", ".", ":!docs")
    number = git("rev-parse", "--short=12", "HEAD")
    return (f"g{number}" if number else "unknown") + ("+changes" if changed else "")


def time_left(cohort: str, left: int, folder: Path) -> str:
    """How many cells are left and, by those of the cohort that are finished, how long they take."""
    known = finished_cells(folder)
    seconds = known.loc[known["cohort"] == cohort, "seconds"]
    if not left or seconds.empty:
        return f"{cohort}: {left} cells are left"
    return f"{cohort}: {left} cells are left, some {left * seconds.mean() / 3600:.1f} hours"


def run_cells(cohort: str, data: str | None, folder: Path, most: int | None) -> None:
    """Run the cells of a cohort that are left, ``most`` at most. Raises ``UserError`` naming the
    first that fails."""
    setup = SETUPS[cohort]
    if data and not setup.key:
        raise UserError(f"{cohort}: has no DATA; name COHORT=brats or COHORT=lgg")
    if setup.key and not (data and Path(data).exists()):
        raise UserError(f"{cohort}: DATA={data or ''} does not exist; it is cohort.{setup.key}")
    settings = setup.settings()
    arms = settings["segmentation"]["arms"]
    left = cells_left(wanted_cells(cohort, settings), arms, folder)
    print(time_left(cohort, len(left), folder), flush=True)
    for cell in left[:most]:
        started, clock, code = datetime.datetime.now(datetime.UTC), time.monotonic(), commit()
        environment = {**os.environ, "PYTHONPATH": "terminal"}
        made = subprocess.run(command_of(setup, data, cell), env=environment, check=False)
        if made.returncode:
            raise UserError(f"{cohort} {cell.split}: the run failed; the same command goes on")
        record = {
            "arms": " ".join(arms),
            "commit": code,
            "processor": machine()["processor"],
            "torch": version("torch"),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock),
        }
        add_cell(folder, cell, Path(settings["results"]), record)
        print(f"{cohort} {cell.split}: in {folder}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", choices=SETUPS)
    parser.add_argument("data", nargs="?", help="the BraTS folder, or the table of files")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")
    parser.add_argument("--most", type=int, help="cells to run, at most")
    options = parser.parse_args()
    try:
        run_cells(options.cohort, options.data, options.tables, options.most)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
