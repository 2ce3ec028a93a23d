"""Rule ``choose_setting``: the measured settings of the sampler, and the chosen one."""

import logging

import pandas as pd

from workflow_scripts.bench.sampler import judged, left_out
from workflow_scripts.bench.sampler_candidates import CHANGED, setting_name
from workflow_scripts.common.files import UserError, read_json, read_table, write_json, write_table


def main(snakemake) -> None:
    inputs, params = snakemake.input, snakemake.params
    if not params.settings:
        raise UserError(
            "bench.sampler: guidance, stochasticity and sampling_steps define no setting"
        )
    reference = read_table(inputs.reference)
    rows = [
        {**setting, **judged(read_table(path), reference, params.confidence)}
        for setting, path in zip(params.settings, inputs.tables, strict=True)
    ]
    table = pd.DataFrame(rows)
    table["left_out_by"] = left_out(table)
    chosen = table[table["left_out_by"] == ""].iloc[0]
    values = {name: type(params.settings[0][name])(chosen[name]) for name in CHANGED}
    logging.info("chosen: %s", setting_name(values))
    write_table(table, snakemake.output.table)
    write_json({**read_json(inputs.sampling), **values}, snakemake.output.chosen)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
