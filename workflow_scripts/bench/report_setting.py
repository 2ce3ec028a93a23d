"""Rule ``report_setting``: the chosen setting of the sampler beside the model's present one, on
phantoms that were not used for the choice."""

import pandas as pd
import torch

from workflow_scripts.bench.sampler import (
    BIAS,
    CENTROID_MM,
    FAULTY,
    MEASURES,
    TIE,
    judged,
    sampled,
)
from workflow_scripts.bench.sampler_candidates import CHANGED, held_out, setting_name
from workflow_scripts.common.files import read_json, read_table, write_table, write_text
from workflow_scripts.evaluation.tables import markdown, number
from workflow_scripts.synthesis.model import PARTS, SynthesisModel

PAGE = """\
# Settings of the sampler

Model: `{model}`. One draw for each tumour of {count} phantoms that no prior was trained on. The
columns {measures} are ratios of the synthetic patients to the same phantoms after the model's
autoencoder; image_distance is the sum of their absolute logarithms.

## The chosen setting and the present one

On {report}, which were not used for the choice.
**Chosen: {chosen}**; present: {present} (guidance, stochasticity, steps).

{reported}
## All settings

On {choose}, which were used for the choice only.

{table}
Criteria are applied one after another; if no remaining setting meets a criterion, the closest ones
remain. *faults*: more than {faulty:.0%} of the patients have no tumour or a torn brain; holes in
labels are no criterion. *volume*: the bias is above {bias:g} or below 1 / {bias:g}. *place*: the
95th percentile of the centroids' distance is above {centroid:g} mm. *image*: another setting's
image_distance is smaller; of those within {tie:g} of the smallest the one with the fewest steps is
chosen, then the one with the least guidance, then the one with the highest stochasticity.
"""


def shown(table: pd.DataFrame) -> str:
    """Settings, one row each, rounded."""
    rows = []
    for _, row in table.iterrows():
        digits = dict.fromkeys(MEASURES, 2) | {"image_distance": 3}
        low, high = (number(row[f"volume_bias_{side}"], 2) for side in ("low", "high"))
        rows.append(
            {
                **({"setting": row["name"]} if "name" in row else {}),
                **{name: f"{row[name]:g}" for name in CHANGED},
                "met": number(row["met"], 2),
                "missing, torn, holes": ", ".join(
                    str(row[n]) for n in ("missing", "torn", "holes")
                ),
                "volume bias": f"{number(row['volume_bias'], 2)} [{low}, {high}]",
                "3–10 mL, median": number(row["small_volume_median"], 2),
                "sphericity bias": number(row["sphericity_bias"], 3),
                "centroid p95 (mm)": number(row["centroid_p95_mm"], 1),
                **{name: number(row[name], count) for name, count in digits.items()},
                **({"excluded by": row["left_out_by"]} if "left_out_by" in row else {}),
            }
        )
    return markdown(pd.DataFrame(rows).astype(str))


def main(snakemake) -> None:
    inputs, params = snakemake.input, snakemake.params
    torch.set_num_threads(snakemake.threads)
    model = SynthesisModel.of(*(inputs[part] for part in PARTS))
    requests, reference = read_table(inputs.requests), read_table(inputs.reference)
    settings = {name: read_json(inputs[name]) for name in ("chosen", "sampling")}
    present = {name: settings["sampling"][name] for name in CHANGED}
    rows, known = [], {}
    for name, sampling in settings.items():
        changed = {each: sampling[each] for each in CHANGED}
        key = setting_name(changed)
        if key not in known:
            draws = sampled(requests, model, sampling)
            known[key] = judged(draws, reference, params.confidence)
        label = "chosen" if name == "chosen" else "present"
        rows.append({"name": label, **changed, **known[key]})
    reported, table = pd.DataFrame(rows), read_table(inputs.table)
    chosen = {name: settings["chosen"][name] for name in CHANGED}
    names = {part: held_out(part, params.phantoms) for part in ("choose", "report")}
    text = PAGE.format(
        model=params.model,
        count=params.phantoms,
        measures=", ".join(MEASURES),
        chosen=setting_name(chosen),
        present=setting_name(present),
        reported=shown(reported),
        table=shown(table),
        faulty=FAULTY,
        bias=BIAS,
        centroid=CENTROID_MM,
        tie=TIE,
        **{part: f"{each[0]} to {each[-1]}" for part, each in names.items()},
    )
    write_table(reported, snakemake.output.table)
    write_text(text, snakemake.output.markdown)


if __name__ == "__main__":
    from workflow_scripts.common.script import run_script

    run_script(main, snakemake)  # noqa: F821
