"""Rule ``collect_bench``: medians over all repetitions, and how many times faster we are."""

import pandas as pd

from workflow_scripts.bench.work import STEPS
from workflow_scripts.common.files import read_json, read_table, write_table, write_text
from workflow_scripts.evaluation.tables import markdown

OURS = "sbldm"
RIVALS = ("paper", "ldm3d")
SYSTEMS = (*RIVALS, OURS)
KEYS = ["geometry", "system", "step"]
# What a repetition measures; the rest is the same in all of them.
MEASURED = ("seconds", "peak_mb", "share_of_peak")
COLUMNS = [
    *KEYS, "seconds", "seconds_min", "seconds_max", "per", "peak_mb", "parameters", "gflop",
    "share_of_peak", "arithmetic", "repetitions",
]  # fmt: skip
NAMES = {
    "autoencoder_train": "autoencoder, training",
    "encode": "autoencoder, encoding",
    "second_stage_train": "denoiser, training",
    "denoise": "denoiser, one evaluation",
    "decode": "autoencoder, decoding",
    "sample": "a synthetic patient",
}


def medians(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One row for each geometry, system and step, of tables with one for each repetition too."""
    table = pd.concat([add_samples(table) for table in tables])
    groups = table.groupby(KEYS, sort=False)
    found = groups.first()
    for name in MEASURED:
        found[name] = groups[name].median()
    found["seconds_min"], found["seconds_max"] = groups["seconds"].min(), groups["seconds"].max()
    found["repetitions"] = groups["seconds"].count()
    return found.reset_index()[COLUMNS]


def add_samples(table: pd.DataFrame) -> pd.DataFrame:
    """Add what a synthetic patient takes: the denoiser's evaluations, and decoding all slices."""
    rows = []
    for system, group in table.groupby("system", sort=False):
        steps = group.set_index("step")
        denoise = steps.loc["denoise"]
        times = {"denoise": denoise["evaluations"], "decode": denoise["slices"]}
        row = {"system": system, "step": "sample", "geometry": denoise["geometry"]}
        for name in ("seconds", "gflop"):
            row[name] = sum(count * steps.loc[step, name] for step, count in times.items())
        row["peak_mb"] = steps.loc[list(times), "peak_mb"].max()
        row["parameters"] = steps.loc[list(times), "parameters"].sum()
        rows.append({**row, "per": "volume"})
    return pd.concat([table, pd.DataFrame(rows)])


def text(table: pd.DataFrame, machines: list[dict]) -> str:
    """The table for people: a part for each geometry."""
    parts = [f"Measured on {where(machines)}.\n"]
    for geometry, group in table.groupby("geometry", sort=False):
        parts += [f"## {geometry}\n", markdown(readable(group.set_index(["step", "system"])))]
    return "\n".join(parts)


def where(machines: list[dict]) -> str:
    """The machines that the jobs ran on, in words."""
    named = {
        f"{m.get('gpu', 'no GPU')}, {m['processor']}, {m['cores']} cores, {m['system']}"
        for m in machines
    }
    return "; ".join(sorted(named))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds and memory of each system, and ours as a share of the others', as text."""
    rows = []
    for step in (*STEPS, "sample"):
        row = {"step": f"{NAMES[step]}, a {table.loc[(step, OURS), 'per']}"}
        for system in SYSTEMS:
            found = table.loc[(step, system)]
            row[f"{system}, s"] = significant(found["seconds"])
        for rival in RIVALS:
            ratio = table.loc[(step, rival), "seconds"] / table.loc[(step, OURS), "seconds"]
            row[f"{rival} / {OURS}"] = significant(ratio)
        for system in SYSTEMS:
            row[f"{system}, GB"] = significant(table.loc[(step, system), "peak_mb"] / 1e3)
        for system in SYSTEMS:
            row[f"{system}, of peak"] = percent(table.loc[(step, system), "share_of_peak"])
        rows.append(row)
    return pd.DataFrame(rows)


def significant(value: float) -> str:
    """Three digits; a dash where there is no number."""
    return "–" if pd.isna(value) else f"{value:#.3g}".rstrip(".")


def percent(share: float) -> str:
    """A share in whole hundredths; a dash where there is none."""
    return "–" if pd.isna(share) else f"{100 * share:.0f} %"


def main(snakemake) -> None:
    given = snakemake.input
    table = medians([read_table(path) for path in given.tables])
    machines = [read_json(path)["machine"] for path in given.provenance]
    write_table(table, snakemake.output.table)
    write_text(text(table, machines), snakemake.output.markdown)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
