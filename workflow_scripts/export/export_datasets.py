"""Rule ``export_datasets``: a split's real and synthetic patients for other frameworks."""

from pathlib import Path

from workflow_scripts.common.files import UserError, read_table, staged_directory
from workflow_scripts.common.patients import patient_folders
from workflow_scripts.export.bids import subject, write_bids
from workflow_scripts.export.datalist import write_datalist
from workflow_scripts.export.exported_patients import SYNTHETIC, Case
from workflow_scripts.export.nnunet import write_nnunet


def cases(splits: Path, split: str, preprocessed: Path, synthetic: Path) -> list[Case]:
    """A split's patients in the order of its table, then the synthetic ones.

    Raises ``UserError`` if two patients, real or synthetic, would have the same name in BIDS.
    """
    table = read_table(splits)
    rows = table[table["split"] == split]
    patients = [Case(preprocessed / str(r.patient_id), str(r.role)) for r in rows.itertuples()]
    patients += [Case(folder, SYNTHETIC) for folder in patient_folders(synthetic)]
    names: dict[str, Case] = {}
    for case in patients:
        other = names.setdefault(subject(case.name), case)
        if other is not case:
            raise UserError(
                f"patients '{other.name}' ({other.role}) and '{case.name}' ({case.role}) have the "
                f"same letters and digits, the only characters that BIDS names may have; rename "
                f"one of them in the cohort or in the table of requests"
            )
    return patients


def main(snakemake) -> None:
    inputs, params, target = snakemake.input, snakemake.params, Path(snakemake.output.datasets)
    preprocessed = Path(inputs.volumes[0]).parent.parent
    patients = cases(inputs.splits, snakemake.wildcards.split, preprocessed, inputs.synthetic)
    options = (patients, params.modalities, params.labels)
    with staged_directory(target) as folder:
        write_nnunet(folder / "nnUNet_raw", *options)
        write_bids(folder / "bids", *options)
        write_datalist(folder / "monai", target.resolve() / "monai", *options)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
