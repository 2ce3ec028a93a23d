"""Run the remaining parts of the study, cell by cell: ``make study``.

    python -m workflow_scripts.study.run brats /data/BraTS2021

In each cell, the arms without a generator are one run of the workflow, those with it the next, so
that arms train side by side. Their rows are added to the tables in ``docs/study`` when the run is
finished. Arms that were stopped resume from their checkpoints; those in the tables are not run
again.
"""

import argparse
import datetime
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from workflow_scripts.common.files import UserError
from workflow_scripts.common.provenance import machine
from workflow_scripts.common.strict_yaml import read_yaml
from workflow_scripts.study.cells import (
    OF_ARMS,
    OF_GENERATORS,
    Cell,
    add_arm,
    arms_left,
    finished_arms,
    needs_generator,
)

TABLES = Path("docs/study")


@dataclass(frozen=True)
class Setup:
    """The set-up of a cohort: configuration files, of which the last has the cells, and the key of
    ``cohort`` for its data; phantoms have none."""

    files: tuple[str, ...]
    key: str | None = None

    def settings(self) -> dict:
        """The last configuration file."""
        return read_yaml(self.files[-1])

    def source(self, data: str | None) -> dict[str, str | None]:
        """The values of ``cohort`` for data at a path."""
        return {self.key: data} if self.key else {}


SETUPS = {
    "phantoms": Setup(("config/study_phantoms.yaml",)),
    "brats": Setup(("config/brats_3mm.yaml", "config/study_brats.yaml"), "root"),
    "lgg": Setup(("config/lgg.yaml", "config/study_lgg.yaml"), "table"),
}


def wanted_cells(cohort: str, settings: dict) -> list[Cell]:
    """All cells of a cohort's configuration: all sizes for a seed, then the next seed."""
    splits = settings["cohort"]["splits"]
    return [Cell(cohort, n, seed) for seed in splits["seeds"] for n in splits["train_sizes"]]


def snakemake_command(
    files: Sequence[str], results: str, sections: dict[str, dict], tables: Iterable[str]
) -> list[str]:
    """The Snakemake command that writes ``tables`` of a run's evaluation folder; ``sections`` are
    values that replace those of the configuration ``files``."""
    # JSON is YAML, and quotes special characters in paths.
    return [
        sys.executable, "-m", "snakemake", "--logger", "stages", "--cores", "all",
        "--configfile", *files,
        "--config", f"results={results}",
        *(f"{name}={json.dumps(section)}" for name, section in sections.items()),
        "--", *(f"{results}/evaluation/{table}" for table in tables),
    ]  # fmt: skip


def command_of(
    setup: Setup, data: str | None, cell: Cell, arms: list[str], results: str
) -> list[str]:
    """The Snakemake command for some arms of a cell; ``data`` is the path for ``setup.key``. Its
    targets are the tables that the study stores."""
    cohort = {"splits": {"train_sizes": [cell.n], "seeds": [cell.seed]}, **setup.source(data)}
    tables = [source for source, _ in OF_ARMS.values()]
    if any(map(needs_generator, arms)):
        tables += OF_GENERATORS.values()
    sections = {"cohort": cohort, "segmentation": {"arms": arms}}
    return snakemake_command(setup.files, results, sections, tables)


def run_snakemake(command: list[str]) -> bool:
    """Run a Snakemake command; whether it succeeded."""
    environment = {**os.environ, "PYTHONPATH": "terminal"}
    return subprocess.run(command, env=environment, check=False).returncode == 0


def commit() -> str:
    """The current commit, as g and its hash, with ``+changes`` if files of the workflow differ from
    it."""

    def git(*arguments: str) -> str:
        process = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return process.stdout.strip() if process.returncode == 0 else ""

    changed = git("status", "--porcelain", "-uno", "--", ".", ":!docs")
    number = git("rev-parse", "--short=12", "HEAD")
    return (f"g{number}" if number else "unknown") + ("+changes" if changed else "")


def time_left(cohort: str, remaining: list[str], folder: Path) -> str:
    """The number of remaining trainings (``remaining``), and their expected CPU time from the
    cohort's finished ones. The generator and preprocessing come on top."""
    known = finished_arms(folder)
    seconds = known[known["cohort"] == cohort].groupby("arm")["seconds"].mean()
    text = f"{cohort}: {len(remaining)} trainings are left"
    if not remaining or seconds.empty:
        return text
    hours = sum(seconds.get(arm, seconds.mean()) for arm in remaining) / 3600
    return f"{text}, some {hours:.1f} CPU hours without the generator"


@dataclass(frozen=True)
class Study:
    """One cohort's study: the paths of its data, tables and results."""

    cohort: str
    data: str | None
    folder: Path
    results: str

    def run_cell(self, cell: Cell, arms: list[str]) -> None:
        """Run some arms of a cell and add their rows. Raises ``UserError`` if the run fails."""
        started, code = datetime.datetime.now(datetime.UTC), commit()
        command = command_of(SETUPS[self.cohort], self.data, cell, arms, self.results)
        label = f"{self.cohort} {cell.split}"
        if not run_snakemake(command):
            raise UserError(
                f"{label} {', '.join(arms)}: the run failed; repeat the command to resume, or "
                "name some of the arms in ARMS"
            )
        record = {
            "commit": code,
            "processor": machine()["processor"],
            "torch": version("torch"),
            "started": started.isoformat(timespec="seconds"),
        }
        for arm in arms:
            add_arm(self.folder, cell, arm, Path(self.results), record)
            print(f"{label} {arm}: in {self.folder}", flush=True)

    def run_cells(self, cells: list[Cell], arms: list[str]) -> None:
        """Run the ``arms`` of the ``cells`` that are not in the tables: in each cell first those
        without a generator. Raises ``UserError`` naming the arms of the run that fails;
        what is finished in it is not computed again."""
        remaining = arms_left(cells, arms, self.folder)
        print(time_left(self.cohort, [arm for _, arm in remaining], self.folder), flush=True)
        for cell, pairs in itertools.groupby(remaining, key=lambda pair: pair[0]):
            in_cell = [arm for _, arm in pairs]
            for generator in (False, True):
                if chosen := [arm for arm in in_cell if needs_generator(arm) == generator]:
                    self.run_cell(cell, chosen)


def check_data(cohort: str, data: str | None) -> None:
    """Raise ``UserError`` unless ``data`` fits the cohort."""
    key = SETUPS[cohort].key
    if data and not key:
        raise UserError(f"{cohort}: takes no DATA; use COHORT=brats or COHORT=lgg")
    if key and not (data and Path(data).exists()):
        raise UserError(f"{cohort}: DATA={data or ''} does not exist; it is cohort.{key}")


def chosen_cells(cohort: str, settings: dict, name: str | None) -> list[Cell]:
    """All cells of a cohort, or the one with a split's name, such as ``n5-s0``. Raises
    ``UserError`` for an unknown one."""
    cells = wanted_cells(cohort, settings)
    if not name:
        return cells
    if not (chosen := [cell for cell in cells if cell.split == name]):
        known = ", ".join(cell.split for cell in cells)
        raise UserError(f"CELL={name}: is not a cell of the study; the cells are {known}")
    return chosen


def chosen_arms(settings: dict, names: str | None) -> list[str]:
    """The configuration's arms, or those in ``names``, separated by blanks. Raises ``UserError``
    for an unknown arm."""
    arms = settings["segmentation"]["arms"]
    if not names:
        return arms
    chosen = names.split()
    if unknown := [arm for arm in chosen if arm not in arms]:
        raise UserError(
            f"ARMS: {unknown[0]} is not an arm of the study; the arms are {', '.join(arms)}"
        )
    return chosen


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that ``make study`` and ``make study-cell`` share."""
    parser.add_argument("cohort", choices=SETUPS)
    parser.add_argument("data", nargs="?", help="the BraTS folder, or the table of files")
    parser.add_argument("--cell", help="a single cell, such as n5-s0")
    parser.add_argument("--arms", help="some of the arms, separated by blanks")
    parser.add_argument("--tables", type=Path, default=TABLES, help="folder of the tables")


def chosen(options: argparse.Namespace) -> tuple[str, list[Cell], list[str]]:
    """The results folder, the cells and the arms from the options. Raises ``UserError`` for unknown
    data, cells or arms."""
    check_data(options.cohort, options.data)
    settings = SETUPS[options.cohort].settings()
    cells = chosen_cells(options.cohort, settings, options.cell)
    return settings["results"], cells, chosen_arms(settings, options.arms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    options = parser.parse_args()
    try:
        results, cells, arms = chosen(options)
        study = Study(options.cohort, options.data, options.tables, results)
        study.run_cells(cells, arms)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
