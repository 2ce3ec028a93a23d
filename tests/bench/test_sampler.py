"""How `make sampler` chooses: from what phantoms, by what rule, with a small untrained model."""

import zlib
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tests.fakes import Named
from tests.models import small_model
from workflow_scripts.autoencoder.codec import Codec
from workflow_scripts.bench import choose_setting, make_held_out, report_setting, sample_setting
from workflow_scripts.bench.draw_blind import EACH, shuffled
from workflow_scripts.bench.sampler import MEASURES, judged, left_out
from workflow_scripts.bench.sampler_candidates import (
    CHANGED,
    PARTS,
    held_out,
    setting_name,
    settings_grid,
)
from workflow_scripts.cohort.settings import MOST_ON_GRID
from workflow_scripts.common.files import UserError, read_json, read_table, write_json
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.configuration import check, read_config
from workflow_scripts.phantoms.plan import phantom_ids

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
SAMPLING = {
    "sampling_steps": 2, "sigma_max": 60.0, "sigma_min": 0.02, "stochasticity": 1.0, "order": 2,
    "guidance": 1.0, "precision": "fp32", "batch": 2, "attempts": 5, "volume_tolerance": 1.5,
    "centroid_tolerance_mm": 10.0,
}  # fmt: skip


def test_who_chooses_trains_no_prior_and_is_not_reported_on():
    most = check_sampler(phantoms=100).phantoms
    sets = {part: set(held_out(part, most)) for part in PARTS}
    assert not sets["choose"] & sets["report"]
    assert held_out("choose", 24)[0] == "phantom-09001"
    assert held_out("report", 24)[-1] == "phantom-09124"
    # Those of a prior as large as any may be, and those that an arm learns from.
    others = {*phantom_ids(MOST_ON_GRID, on_grid=True), *phantom_ids(MOST_ON_GRID)}
    others |= {f"phantom-for-training-{k:04d}" for k in range(1, 1001)}
    chosen = sets["choose"] | sets["report"]
    assert not chosen & others
    # A phantom is drawn from the checksum of its name: different names are different patients.
    numbers = [{zlib.crc32(name.encode()) for name in names} for names in (chosen, others)]
    assert len(numbers[0]) == 200 and not numbers[0] & numbers[1]


def test_no_prior_is_so_large_that_it_learns_from_held_out_phantoms():
    files = ROOT / "config.yaml", ROOT / "config" / "prior.yaml"
    assert read_config(*files).cohort.phantom_count < PARTS["choose"]
    assert min(PARTS.values()) > MOST_ON_GRID
    with pytest.raises(UserError, match="a prior has at most 9000 phantoms"):
        read_config(*files, changes={"cohort": {"splits": {"train_sizes": [MOST_ON_GRID]}}})
    # The seed of the prior's phantoms, of which the held-out ones have the numbers that follow.
    found = read_config(ROOT / "config.yaml", ROOT / "config" / "sampler.yaml")
    assert found.seed == read_config(*files).seed


def check_sampler(**changes):
    values = read_config(ROOT / "config.yaml", ROOT / "config" / "sampler.yaml")
    values = values.model_dump(mode="json")
    values["bench"]["sampler"] |= changes
    return check(values).bench.sampler


def test_the_grid_is_all_combinations():
    found = settings_grid(
        check_sampler(guidance=[1, 1.5], stochasticity=[1], sampling_steps=[8, 16])
    )
    assert list(found) == ["g1-s1-n8", "g1-s1-n16", "g1.5-s1-n8", "g1.5-s1-n16"]
    assert found["g1.5-s1-n16"] == {"guidance": 1.5, "stochasticity": 1, "sampling_steps": 16}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("none", "name a model folder"),
        ("/nowhere", "/nowhere: is no model folder"),
    ],
)
def test_a_model_that_cannot_be_sampled_is_named(model, words):
    with pytest.raises(UserError, match=words):
        check_sampler(model=model)


GOOD = {
    "guidance": 1.5, "stochasticity": 0.9, "sampling_steps": 16, "n_requests": 24, "missing": 0,
    "torn": 0, "holes": 0, "volume_bias": 1.02, "centroid_p95_mm": 2.0, "image_distance": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("others", "reasons"),
    [
        # The image decides among those that meet all other criteria.
        (
            [{"image_distance": 0.2}, {"image_distance": 0.02, "volume_bias": 0.9}],
            ["image", "volume"],
        ),
        ([{"centroid_p95_mm": 4.1, "image_distance": 0.0}], ["place"]),
        (
            [{"torn": 1, "missing": 1, "image_distance": 0.0}, {"holes": 9, "image_distance": 0.2}],
            ["faults", "image"],
        ),
        ([{"missing": 24, "volume_bias": np.nan, "image_distance": np.nan}], ["faults"]),
        # The same but for chance: fewer steps, less guidance, more variety win.
        ([{"image_distance": 0.095, "sampling_steps": 32}], ["image"]),
        ([{"guidance": 3.0}, {"stochasticity": 0.75}], ["image", "image"]),
    ],
)
def test_the_rule_of_choice(others, reasons):
    rows = [GOOD, *({**GOOD, **other} for other in others)]
    for order in (1, -1):  # whatever their order
        table = pd.DataFrame(rows[::order])
        assert left_out(table).tolist()[::order] == ["", *reasons]


def test_where_no_setting_meets_a_criterion_the_nearest_is_chosen():
    biased = [{**GOOD, "volume_bias": bias} for bias in (1.2, 0.9, 1.3)]
    assert left_out(pd.DataFrame(biased)).tolist() == ["volume", "", "volume"]
    astray = [{**GOOD, "centroid_p95_mm": mm, "volume_bias": 1.2} for mm in (9.0, 8.0)]
    assert left_out(pd.DataFrame(astray)).tolist() == ["place", ""]
    nothing = {"missing": 24, "volume_bias": np.nan, "centroid_p95_mm": np.nan}
    nothing["image_distance"] = np.nan
    assert left_out(pd.DataFrame([{**GOOD, **nothing}] * 2)).tolist() == ["", "image"]


def drawn(count=12):
    """Draws that are all that was asked for, and their phantoms' image measures."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"patient_id": [f"p{k}" for k in range(count)], "first_outcome": "met"})
    asked = {
        "volume_ml": np.exp(rng.uniform(1, 4, count)),
        "sphericity": rng.uniform(0.6, 1, count),
    }
    asked |= {f"centroid_{axis}_mm": rng.normal(0, 30, count) for axis in "xyz"}
    for name, values in asked.items():
        table[f"requested_{name}"] = table[f"first_{name}"] = values
    reference = pd.DataFrame({"patient_id": table["patient_id"]})
    for name in MEASURES:
        table[name] = reference[name] = rng.uniform(0.5, 1, count)
    return table, reference


def test_a_setting_is_told_by_what_was_planted():
    table, reference = drawn()
    table["first_volume_ml"] *= 1.2
    table["first_centroid_x_mm"] += 3
    table["slice_ratio"] *= 2
    found = judged(table, reference, 0.95)
    assert found["volume_bias"] == pytest.approx(1.2)
    assert found["centroid_p95_mm"] == pytest.approx(3.0)
    assert found["slice_ratio"] == pytest.approx(2)
    assert found["image_distance"] == pytest.approx(np.log(2))


def test_patients_that_were_not_made_are_counted_and_compared_with_nobody():
    table, reference = drawn()
    table.loc[0, "first_outcome"], table.loc[1, "first_outcome"] = "missing", "torn"
    gone = [name for name in table if name.startswith("first_") and name != "first_outcome"]
    table.loc[0, [*gone, *MEASURES]] = np.nan
    table.loc[0, "first_volume_ml"] = 0.0
    reference.loc[0, list(MEASURES)] = 50.0
    found = judged(table, reference, 0.95)
    assert (found["missing"], found["torn"], found["n_requests"]) == (1, 1, 12)
    assert found["met"] == pytest.approx(10 / 12)
    assert found["image_distance"] == pytest.approx(0)


class Bright(Codec):
    """Decodes whatever it is given to a brain with a tumour."""

    def decode_uncut(self, latent):
        image, label = super().decode_uncut(latent)
        image[:, 4:28, 4:28, 4:20] += 0.3
        label[:] = 0
        label[12:16, 12:16, 10:13] = 1
        return image.clip(0, 1), label


@pytest.fixture
def model():
    return small_model(GRID, Bright)


def job(inputs, params, outputs, **more):
    values = {"input": Named(inputs), "params": Named(params), "output": Named(outputs)}
    return SimpleNamespace(**values, threads=1, **more)


def test_from_phantoms_to_the_chosen_setting(model, patients, tmp_path, monkeypatch):
    """The four rules with patients in place of phantoms."""
    for rule in (make_held_out, sample_setting, report_setting):
        monkeypatch.setattr(rule.SynthesisModel, "of", lambda *files: model)

    def write_some(names, processes, folder, **given):
        assert given["modalities"] == ["flair", "t1ce"] and given["grid"] == GRID
        for name, source in zip(names, map(Patient, patients), strict=False):
            volumes = (source.image(), source.label(), source.brain())
            save_patient(folder / name, *volumes, GRID.affine)

    monkeypatch.setattr(make_held_out, "write_phantoms", write_some)
    parts = dict.fromkeys(("autoencoder", "diffusion", "brain"), "file")
    files = {name: str(tmp_path / name) for name in ("table.csv", "chosen.json", "out.md")}
    sampling = str(tmp_path / "sampling.json")
    write_json(SAMPLING, sampling)
    settings = [
        dict(zip(CHANGED, values, strict=True)) for values in ((2.0, 0.8, 2), (2.0, 1.0, 3))
    ]
    made = {}
    for part in PARTS:
        params = {
            "phantoms": 3,
            "preprocess": read_config(ROOT / "config.yaml").preprocess,
            "seed": 7,
        }
        params["preprocess"] = params["preprocess"].model_dump(mode="json")
        params["checkpoints"] = str(tmp_path / "kept" / part)
        made[part] = {n: str(tmp_path / part / n) for n in ("requests.tsv", "reference.csv")}
        outputs = {name.partition(".")[0]: path for name, path in made[part].items()}
        inputs = {**parts, "phantom": str(ROOT / "prior" / "phantom.json")}
        # What belongs to a job's name is of no interest here.
        monkeypatch.setattr(
            make_held_out, "kept_folder", lambda job: nullcontext(Path(job.params.checkpoints))
        )
        make_held_out.main(job(inputs, params, outputs, wildcards=SimpleNamespace(part=part)))
    seeds = [read_table(made[part]["requests.tsv"])["seed"] for part in PARTS]
    assert not set(seeds[0]) & set(seeds[1])
    tables = []
    for setting in settings:
        tables.append(str(tmp_path / f"{setting_name(setting)}.csv"))
        inputs = {**parts, "sampling": sampling, "requests": made["choose"]["requests.tsv"]}
        sample_setting.main(job(inputs, {"setting": setting}, {"table": tables[-1]}))
    first, second = map(read_table, tables)
    assert (first["attempts"] == 1).all() and len(first) == 3
    assert first["requested_volume_ml"].equals(second["requested_volume_ml"])
    assert first[list(MEASURES)].notna().all().all()
    inputs = {"sampling": sampling, "reference": made["choose"]["reference.csv"], "tables": tables}
    params = {"settings": settings, "confidence": 0.95}
    outputs = {"table": files["table.csv"], "chosen": files["chosen.json"]}
    choose_setting.main(job(inputs, params, outputs))
    chosen = read_json(files["chosen.json"])
    assert {**SAMPLING, **{name: chosen[name] for name in CHANGED}} == chosen
    assert {name: chosen[name] for name in CHANGED} in settings
    inputs = {**parts, "sampling": sampling, "chosen": files["chosen.json"]}
    inputs |= {n.partition(".")[0]: path for n, path in made["report"].items()}
    inputs["table"] = files["table.csv"]
    outputs = {"table": str(tmp_path / "report.csv"), "markdown": files["out.md"]}
    params = {"model": "embedded", "phantoms": 3, "confidence": 0.95}
    report_setting.main(job(inputs, params, outputs))
    text = Path(files["out.md"]).read_text()
    assert f"**Chosen: {setting_name(chosen)}**; present: g1-s1-n2" in text
    assert "phantom-09101 to phantom-09103" in text and "phantom-09001 to phantom-09003" in text
    assert read_table(tmp_path / "report.csv")["name"].tolist() == ["chosen", "present"]


def test_a_blind_sheet_has_both_groups_in_random_order_and_a_key():
    synthetic = [Path(f"made/s{k}") for k in range(24)]
    phantoms = [Path(f"held/p{k}") for k in range(EACH)]
    order, key = shuffled(synthetic, phantoms, seed=0)
    assert len(set(order)) == 2 * EACH
    assert [n for n, folder in enumerate(order, start=1) if folder.parent.name == "made"] == key
    assert len(key) == EACH
    # Neither in a block, nor the first ones that were made.
    assert min(key) <= EACH < max(key)
    assert {order[n - 1] for n in key} != set(synthetic[:EACH])
    assert shuffled(synthetic, phantoms, seed=1)[1] != key
