"""Rule ``collect_scores``: the scores of all splits and arms in one table."""

from pathlib import Path

import pandas as pd

from workflow_scripts.cohort.splits import training_sizes
from workflow_scripts.common.files import read_json, read_table, write_table

COLUMNS = [
    "split",
    "n",
    "validation",
    "seed",
    "arm",
    "patient_id",
    "region",
    "dice",
    "hd95_mm",
    "nsd",
    "volume_error_ml",
    "volume_error_abs_ml",
    "reference_ml",
    "native_dice",
    "native_hd95_mm",
    "native_nsd",
    "official_dice",
    "official_hd95_voxels",
    "official_nsd",
    "lesion_tp",
    "lesion_fp",
    "lesion_fn",
    "lesion_dice",
    "lesion_hd95_mm",
    "lesion_nsd",
]


def collect(paths: list[str | Path], splits: pd.DataFrame) -> pd.DataFrame:
    """The concatenated tables, with the columns of ``scores.csv``.

    ``n`` and ``validation`` are the numbers of labelled patients that each split's models used.
    """
    table = pd.concat([read_table(path) for path in paths], ignore_index=True)
    sizes = training_sizes(splits)
    table["n"], table["validation"] = zip(*table["split"].map(sizes), strict=True)
    table["seed"] = table["split"].str.extract(r"-s(\d+)$").astype(int)
    table["volume_error_abs_ml"] = table["volume_error_ml"].abs()
    return table[COLUMNS]


def collect_validation(configs: list[str | Path], splits: pd.DataFrame) -> pd.DataFrame:
    """One row per split and arm: n, seed and the validation Dice of the selected weights.

    ``configs`` are the networks' ``config.json`` in ``<split>/<arm>/model``.
    """
    sizes, rows = training_sizes(splits), []
    for path in map(Path, configs):
        split, arm = path.parts[-4:-2]
        row = {"split": split, "n": sizes[split][0], "seed": int(split.split("-s")[1]), "arm": arm}
        rows.append({**row, "validation_dice": read_json(path)["validation_dice"]})
    return pd.DataFrame(rows)


def main(snakemake) -> None:
    files = snakemake.input
    splits = read_table(files.splits)
    write_table(collect(files.tables, splits), snakemake.output.scores)
    if configs := files.get("configs"):
        write_table(collect_validation(configs, splits), snakemake.output.validation)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
