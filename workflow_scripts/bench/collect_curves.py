"""Rule ``collect_curves``: quality against training time and against sampling steps."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from workflow_scripts.bench.runs import SAMPLED
from workflow_scripts.common.files import read_table, staged, write_table
from workflow_scripts.evaluation.figure_style import note, style
from workflow_scripts.evaluation.plots import COLOURS

TRAINING = ["autoencoder", "encoding", "diffusion"]
RECONSTRUCTIONS = {"psnr_db": "PSNR in the brain (dB)", "label_dice": "Dice of the label"}
SAMPLES = {"frechet": "Fréchet distance", "kernel": "kernel distance"}


def with_times(table: pd.DataFrame) -> pd.DataFrame:
    """Add ``training_seconds``: of the autoencoder for reconstruction, of all stages for synthetic
    patients."""
    alone = table["measure"].isin(RECONSTRUCTIONS)
    return table.assign(
        training_seconds=table["autoencoder"].where(alone, table[TRAINING].sum(axis=1))
    )


def against_time(table: pd.DataFrame) -> Figure:
    """One panel per measure, one line per system; dashed lines are real patients."""
    if table.empty:
        return note("No system was trained for several durations")
    figure = Figure(figsize=(12, 3.2))
    panels = RECONSTRUCTIONS | SAMPLES
    axes = figure.subplots(1, len(panels))
    systems = list(dict.fromkeys(table["system"]))
    colours = dict(zip(systems, COLOURS, strict=False))
    for panel, (measure, title) in zip(axes, panels.items(), strict=True):
        chosen = table[table["measure"] == measure]
        for system, rows in chosen.groupby("system", sort=False):
            minutes = rows["training_seconds"] / 60
            panel.plot(minutes, rows["value"], "o-", ms=4, color=colours[system], label=system)
        _mark_floor(panel, chosen)
        panel.set(title=title, xlabel="training time (minutes)", xscale="log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.minorticks_off()
    axes[0].legend()
    return figure


def against_steps(table: pd.DataFrame) -> Figure:
    """One panel per distance of synthetic patients, over the sampler's steps."""
    if table.empty:
        return note("No model was sampled with several numbers of steps")
    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots(1, len(SAMPLES))
    for panel, (measure, title) in zip(axes, SAMPLES.items(), strict=True):
        chosen = table[table["measure"] == measure]
        panel.plot(chosen["steps"], chosen["value"], "o-", ms=4, color=COLOURS[0])
        _mark_floor(panel, chosen)
        panel.set(title=title, xlabel="sampling steps", xscale="log")
        panel.set_xticks(chosen["steps"], chosen["steps"].astype(str))
        panel.minorticks_off()
    return figure


def _mark_floor(panel, chosen: pd.DataFrame) -> None:
    for floor in chosen["floor"].dropna()[:1]:
        panel.axhline(floor, color="#888888", lw=1, ls=(0, (4, 3)))


def main(snakemake) -> None:
    table = with_times(pd.concat([read_table(path) for path in snakemake.input.tables]))
    sampled = table["system"] == SAMPLED
    with style():
        drawn = {"time": against_time(table[~sampled]), "steps": against_steps(table[sampled])}
        for name, figure in drawn.items():
            with staged(snakemake.output[name]) as temporary:
                figure.savefig(temporary, format="png")
    write_table(table, snakemake.output.table)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
