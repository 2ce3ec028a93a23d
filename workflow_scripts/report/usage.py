"""Time and memory of a run's jobs by rule."""

from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_table


def usage(folder: str | Path) -> pd.DataFrame:
    """Jobs, seconds and peak memory of each rule with benchmarks, sorted by time.

    Columns: ``stage``, ``rule``, ``jobs``, ``seconds`` of all, ``longest_s``, ``peak_mb``.
    """
    rows = []
    for file in sorted(Path(folder).rglob("*.tsv")):
        stage, rule = file.relative_to(folder).with_suffix("").parts[:2]
        job = read_table(file).iloc[0]
        rows.append({"stage": stage, "rule": rule, "seconds": job["s"], "peak_mb": job["max_rss"]})
    table = pd.DataFrame(rows, columns=["stage", "rule", "seconds", "peak_mb"])
    totals = table.groupby(["stage", "rule"], sort=False).agg(
        jobs=("seconds", "size"),
        longest_s=("seconds", "max"),
        seconds=("seconds", "sum"),
        peak_mb=("peak_mb", "max"),
    )
    totals = totals.sort_values("seconds", ascending=False).reset_index()
    return totals[["stage", "rule", "jobs", "seconds", "longest_s", "peak_mb"]]
