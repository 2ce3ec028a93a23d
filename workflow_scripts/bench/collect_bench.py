"""Rule ``collect_bench``: medians over all repetitions, and ratios of the systems."""

import numpy as np
import pandas as pd

from workflow_scripts.bench.timed_step import STEPS
from workflow_scripts.common.files import read_json, read_table, write_table, write_text
from workflow_scripts.evaluation.tables import markdown

OURS = "sbldm"
RIVALS = ("paper", "ldm3d")
SYSTEMS = (*RIVALS, OURS)
KEYS = ["geometry", "system", "step"]
# Columns measured in each repetition; the others are the same in all of them.
MEASURED = ("seconds", "peak_mb", "share_of_peak")
COLUMNS = [
    *KEYS, "seconds", "seconds_min", "seconds_max", "per", "peak_mb", "parameters", "gflop",
    "share_of_peak", "precision", "repetitions",
]  # fmt: skip
INTRODUCTION = """\
# Speed and memory

`make bench` writes this page (`results/bench/bench.md`), and `bench.csv` with the minimum and
maximum of each number. Networks are untrained and volumes random, which does not affect the times.
Three systems run the same steps on volumes of the same size, alternating, each in a separate
process:

- **paper**: the networks of `config/paper.yaml`, in fp32, and the procedure of the paper's
  reference implementation, which encodes each volume again in every step of the denoiser. In that
  implementation the autoencoder is smaller, and the denoiser larger, than here;
- **ldm3d**: MONAI's 3-D latent diffusion example, in the same precision as sbldm, which also
  encodes each volume again;
- **sbldm**: this workflow's networks, with latents that are encoded once and stored.

*Training without encoding* is a step of the denoiser minus the encoding of all slices: the time of
the rivals if they stored their latents too. A synthetic patient needs the denoiser's evaluations,
whose number differs between systems, and the decoding of all slices. For sbldm it includes an
evaluation of the layout denoiser with each evaluation, but not the encoding of the rendered
patient. The peak is the rate of the machine in a product of two large matrices in the same
precision.
"""
MEASURED_BY = "Measured by `make bench`."
NAMES = {
    "autoencoder_train": "autoencoder, training",
    "encode": "autoencoder, encoding",
    "second_stage_train": "denoiser, training",
    "stored_train": "denoiser, training without encoding",
    "denoise": "denoiser, one evaluation",
    "decode": "autoencoder, decoding",
    "sample": "a synthetic patient",
}
TIMED = list(NAMES)


def medians(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """One row per geometry, system and step: medians over the repetitions."""
    table = pd.concat([add_stored_training(add_samples(table)) for table in tables])
    groups = table.groupby(KEYS, sort=False)
    rows = groups.first()
    for name in MEASURED:
        rows[name] = groups[name].median()
    rows["seconds_min"], rows["seconds_max"] = groups["seconds"].min(), groups["seconds"].max()
    rows["repetitions"] = groups["seconds"].count()
    return rows.reset_index()[COLUMNS]


def add_samples(table: pd.DataFrame) -> pd.DataFrame:
    """Add the cost of a synthetic patient: the denoiser's evaluations, and decoding all slices."""
    rows = []
    for system, group in table.groupby("system", sort=False):
        steps = group.set_index("step")
        denoise = steps.loc["denoise"]
        counts = {"denoise": denoise["evaluations"], "decode": denoise["slices"]}
        row = {"system": system, "step": "sample", "geometry": denoise["geometry"]}
        for name in ("seconds", "gflop"):
            row[name] = sum(count * steps.loc[step, name] for step, count in counts.items())
        row["peak_mb"] = steps.loc[list(counts), "peak_mb"].max()
        row["parameters"] = steps.loc[list(counts), "parameters"].sum()
        rows.append({**row, "per": "volume"})
    return pd.concat([table, pd.DataFrame(rows)])


def add_stored_training(table: pd.DataFrame) -> pd.DataFrame:
    """Add the cost per volume of a training step of the denoiser with stored latents: for rivals
    the step minus the encoding of all slices."""
    rows = []
    for system, group in table.groupby("system", sort=False):
        steps = group.set_index("step")
        row = {"system": system, "step": "stored_train", "per": "volume"}
        row["geometry"] = steps["geometry"].iloc[0]
        encodings = 0 if system == OURS else steps.loc["encode", "slices"]
        for name in ("seconds", "gflop"):
            encoding = encodings * steps.loc["encode", name]
            row[name] = steps.loc["second_stage_train", name] - encoding
        rows.append(row)
    return pd.concat([table, pd.DataFrame(rows)])


def text(table: pd.DataFrame, machines: list[dict], slices: int, volumes: int) -> str:
    """The Markdown page: tables of time, memory and operations for each geometry.

    ``slices`` and ``volumes`` are the batch sizes of the trainings.
    """
    repetitions = table.loc[table["step"].isin(STEPS), "repetitions"].max()
    parts = [
        INTRODUCTION,
        f"A step of training takes {slices} slices (ldm3d: one patch), or {volumes} volumes.",
        f"Medians of {repetitions} repetitions. Machine: {where(machines)}.\n",
    ]
    for geometry, group in table.groupby("geometry", sort=False):
        parts.append(f"## {geometry.replace('x', ' × ')}\n\n{MEASURED_BY}\n")
        for build in (times, memory, operations):
            parts.append(markdown(build(group.set_index(["step", "system"]))))
    return "\n".join(parts)


def where(machines: list[dict]) -> str:
    """The machines of the jobs, in words."""
    named = {
        f"{m.get('gpu', 'no GPU')}, {m['processor']}, {m['cores']} cores, {m['system']}"
        for m in machines
    }
    return "; ".join(sorted(named))


def times(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds of each system, and the rivals' ratios to ours, as text."""
    rows = []
    for step in TIMED:
        seconds = {system: table.loc[(step, system), "seconds"] for system in SYSTEMS}
        row = {"seconds": f"{NAMES[step]}, a {table.loc[(step, OURS), 'per']}"}
        row |= {system: significant(value) for system, value in seconds.items()}
        row |= {f"{r} / {OURS}": significant(seconds[r] / seconds[OURS]) for r in RIVALS}
        rows.append(row)
    return pd.DataFrame(rows)


def memory(table: pd.DataFrame) -> pd.DataFrame:
    """Peak memory of each system, in GB, as text."""
    rows = []
    for step in STEPS:
        peaks = {system: table.loc[(step, system), "peak_mb"] / 1e3 for system in SYSTEMS}
        row = {"peak memory, GB": NAMES[step]}
        rows.append(row | {system: significant(value) for system, value in peaks.items()})
    return pd.DataFrame(rows)


def operations(table: pd.DataFrame) -> pd.DataFrame:
    """Parameters, floating-point operations and the share of the machine's peak, as text."""
    rows = []
    for step in STEPS:
        by_system = {system: table.loc[(step, system)] for system in SYSTEMS}
        unit = by_system[OURS]["per"]
        row = {"million parameters; GFLOP; share of peak": f"{NAMES[step]}, a {unit}"}
        for system, of in by_system.items():
            size, gflop = significant(of["parameters"] / 1e6), significant(of["gflop"])
            row[system] = f"{size}; {gflop}; {percent(of['share_of_peak'])} {of['precision']}"
        rows.append(row)
    return pd.DataFrame(rows)


def significant(value: float) -> str:
    """A number with three digits; a dash if missing."""
    if pd.isna(value):
        return "–"
    digits = f"{value:#.3g}".rstrip(".")
    if "e" not in digits:
        return digits
    return f"{float(digits):,.0f}" if value > 1 else np.format_float_positional(float(digits))


def percent(share: float) -> str:
    """A share in percent; a dash if missing."""
    return "–" if pd.isna(share) else f"{100 * share:.0f} %"


def main(snakemake) -> None:
    inputs = snakemake.input
    table = medians([read_table(path) for path in inputs.tables])
    machines = [read_json(path)["machine"] for path in inputs.provenance]
    write_table(table, snakemake.output.table)
    write_text(
        text(table, machines, snakemake.params.slices, snakemake.params.volumes),
        snakemake.output.markdown,
    )


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
