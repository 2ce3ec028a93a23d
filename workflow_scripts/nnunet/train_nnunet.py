"""Rule ``train_nnunet``: nnU-Net on real patients, with or without the synthetic ones."""

import re
import shutil
from pathlib import Path

import pandas as pd

from workflow_scripts.common.files import read_json, read_table, staged_directory, write_json
from workflow_scripts.common.job_folder import kept_folder
from workflow_scripts.common.progress import Progress
from workflow_scripts.export.nnunet import BOTH, REAL, dataset_name
from workflow_scripts.nnunet.commands import NNUNet

DATASETS = {"real+classical": REAL, "real+classical+synthetic": BOTH}
PLANS = "nnUNetPlans"
PLANNED = "planned"


def folds(labels: Path, splits: pd.DataFrame, split: str) -> list[dict[str, list[str]]]:
    """``splits_final.json`` of nnU-Net: one fold, validated on this split's validation patients
    and trained on all others whose label map lies in ``labels``."""
    cases = sorted(path.name.removesuffix(".nii.gz") for path in labels.iterdir())
    rows = splits[(splits["split"] == split) & (splits["role"] == "validation")]
    validation = set(rows["patient_id"].astype(str))
    return [
        {
            "train": [case for case in cases if case not in validation],
            "val": [case for case in cases if case in validation],
        }
    ]


def prepare(nnunet: NNUNet, dataset: int, configuration: str) -> None:
    """Plan on the real patients, whichever data set is used for training, so that both have the
    same batches, patches and networks; then preprocess the data set."""
    both = sorted({REAL, dataset})
    nnunet.run("nnUNetv2_extract_fingerprint", "-d", *both, "-np", nnunet.threads)
    nnunet.run("nnUNetv2_plan_experiment", "-d", *both)
    if dataset != REAL:
        plans = ("-sp", PLANS, "-tp", PLANS)
        nnunet.run("nnUNetv2_move_plans_between_datasets", "-s", REAL, "-t", dataset, *plans)
    nnunet.run("nnUNetv2_preprocess", "-d", dataset, "-c", configuration, "-np", nnunet.threads)


class Epochs:
    """Logs the progress of a training from nnU-Net's output."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.progress: Progress | None = None

    def __call__(self, line: str) -> None:
        """Count the epochs before the one in a line; their total number is in nnU-Net's
        ``debug.json``."""
        if not (named := re.search(r"Epoch (\d+)\s*$", line)):
            return
        if not self.progress and (debug := next(self.results.glob("*/*/fold_0/debug.json"), None)):
            total = int(read_json(debug)["num_epochs"])
            self.progress = Progress(total, "epochs", first=int(named[1]))
        if self.progress:
            self.progress.done(int(named[1]))


def main(snakemake) -> None:
    inputs, params = snakemake.input, snakemake.params
    dataset = DATASETS[params.arm]
    raw = Path(inputs.datasets) / "nnUNet_raw"
    with kept_folder(snakemake) as work:
        nnunet = NNUNet(params.commands, raw, work, snakemake.threads, Path(snakemake.log[0]))
        if not (work / PLANNED).exists():
            prepare(nnunet, dataset, params.configuration)
            (work / PLANNED).touch()
        name = dataset_name(dataset)
        labels = raw / name / "labelsTr"
        split = folds(labels, read_table(inputs.splits), snakemake.wildcards.split)
        write_json(split, nnunet.preprocessed / name / "splits_final.json")
        nnunet.run(
            "nnUNetv2_train",
            *(dataset, params.configuration, 0, "-tr", params.trainer, "-p", PLANS),
            *("-device", nnunet.device, "--c"),
            tell=Epochs(nnunet.results),
        )
        trained = next((nnunet.results / name).iterdir())
        with staged_directory(snakemake.output.model) as folder:
            shutil.copytree(trained, folder, dirs_exist_ok=True)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
