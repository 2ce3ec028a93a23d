"""The benchmark: what it measures, in which process, and how its table is made."""

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from workflow_scripts.bench.collect_bench import (
    add_samples,
    add_stored_training,
    medians,
    significant,
    text,
)
from workflow_scripts.bench.compare_kept import compare_kept
from workflow_scripts.bench.compared import compared
from workflow_scripts.bench.measure import measure, timed
from workflow_scripts.bench.monai_ldm3d import VolumeSystem
from workflow_scripts.bench.sliced import SlicedSystem
from workflow_scripts.bench.timed_step import STEPS, TimedStep
from workflow_scripts.common.files import UserError
from workflow_scripts.configuration import check, read_config

ROOT = Path(__file__).resolve().parents[2]
TINY = [ROOT / "config.yaml", ROOT / "config" / "tiny.yaml"]
MACHINE = {"processor": "a processor", "cores": 2, "system": "a system"}


UNITS = dict.fromkeys(STEPS, "slice") | {"second_stage_train": "volume", "denoise": "volume"}


class SmallVolumeSystem(VolumeSystem):
    autoencoder_widths, denoiser_widths = (32, 32, 32), (32, 64, 64)


def product() -> TimedStep:
    """A matrix product, which is as fast as anything gets here."""
    layer = torch.nn.Linear(256, 128, bias=False)
    x = torch.randn(512, 256)
    return TimedStep(lambda: layer(x), 4, "slice", (layer,), "fp32")


def killed() -> TimedStep:
    """TimedStep that the system ends, as it does where memory is short."""
    return TimedStep(lambda: os.kill(os.getpid(), signal.SIGKILL), 1, "slice", (), "fp32")


def broken() -> TimedStep:
    raise ValueError("no such network")


@pytest.mark.parametrize("step", STEPS)
def test_each_step_of_our_networks_is_counted(step):
    config = read_config(*TINY)
    sliced = getattr(SlicedSystem(config, slices=2), step)()
    assert sliced.per == UNITS[step]
    assert sliced.parameters
    assert timed(sliced, 1e-3)["gflop"] > 0


@pytest.mark.parametrize("step", STEPS)
def test_a_volume_is_encoded_and_decoded_slice_by_slice_or_at_once(step):
    """Of the networks of MONAI's example a step takes seconds; a smaller one has the same parts."""
    values = read_config(*TINY).model_dump(mode="json")
    values["grid"]["shape"] = [32, 32, 16]
    work = getattr(SmallVolumeSystem(check(values), "fp32"), step)()
    assert work.per == UNITS[step]
    found = timed(work, 1e-3)
    assert found["gflop"] > 0
    assert found["parameters"] > 0


def test_encoding_anew_is_a_part_of_the_step_that_does_so():
    config = read_config(*TINY)
    stored, anew = (SlicedSystem(config, 2, encodes_anew=anew) for anew in (False, True))
    encoding = timed(stored.encode(), 1e-3)["gflop"] * config.grid.shape[2]
    steps = [timed(s.second_stage_train(), 1e-3)["gflop"] for s in (stored, anew)]
    assert steps[1] - steps[0] == pytest.approx(encoding)


def test_operations_are_those_of_one_of_the_counted_units():
    found = measure(product, 1e-3, threads=1)
    assert found["gflop"] == pytest.approx(2 * 512 * 256 * 128 / 4 / 1e9)
    assert 0 < found["share_of_peak"] < 2
    assert found["parameters"] == 256 * 128


def greedy() -> TimedStep:
    """TimedStep that asks for more memory than any machine has."""
    return TimedStep(lambda: torch.empty(1 << 60), 1, "slice", (), "fp32")


@pytest.mark.parametrize("work", [killed, greedy])
def test_work_that_memory_does_not_suffice_for_has_no_number(work):
    assert measure(work, 1e-3, threads=1) is None


def test_what_goes_wrong_in_the_measuring_process_is_told():
    with pytest.raises(ValueError, match="no such network"):
        measure(broken, 1e-3, threads=1)


def test_the_papers_networks_get_our_volumes():
    configs = compared(ROOT, "config.yaml")
    assert configs["paper"]["grid"] == configs["sbldm"]["grid"]
    assert configs["paper"]["modalities"] == ["flair", "t1ce"]
    assert configs["paper"]["autoencoder"]["widths"] == [128, 256, 384, 512]


def test_a_grid_that_the_papers_networks_cannot_take_is_named():
    with pytest.raises(
        UserError, match="paper.yaml on the volumes of config/tiny.yaml: .* 32 voxels along x"
    ):
        compared(ROOT, "config/tiny.yaml")


def repetition(factor: float) -> pd.DataFrame:
    """A repetition in which all took ``factor`` times as long; MONAI's did not fit the memory."""
    rows = []
    for system, pace in (("paper", 10.0), ("ldm3d", float("nan")), ("sbldm", 1.0)):
        for step in STEPS:
            per = "volume" if step in ("second_stage_train", "denoise") else "slice"
            row = {"system": system, "step": step, "seconds": factor * pace, "per": per}
            row |= {"peak_mb": 1000 * pace, "parameters": 5, "gflop": 2.0, "share_of_peak": 0.25}
            rows.append({**row, "evaluations": 3, "slices": 4, "geometry": "8x8x4"})
    return pd.DataFrame(rows).assign(precision="fp32")


def test_a_sample_is_its_evaluations_and_the_decoding_of_its_slices():
    row = add_samples(repetition(1)).query("step == 'sample' and system == 'sbldm'").iloc[0]
    assert row["seconds"] == 3 * 1 + 4 * 1
    assert row["gflop"] == 7 * 2
    assert row["per"] == "volume"


def test_what_rivals_encode_again_is_taken_off_their_step_and_not_off_ours():
    table = repetition(1)
    encoding = table["step"] == "encode"
    table.loc[encoding, ["seconds", "gflop"]] /= 10
    found = add_stored_training(table).query("step == 'stored_train'").set_index("system")
    assert found.loc["paper", "seconds"] == pytest.approx(10 - 4 * 1)
    assert found.loc["sbldm", "seconds"] == 1
    assert found.loc["paper", "gflop"] == pytest.approx(2 - 4 * 0.2)
    assert found.loc["sbldm", "gflop"] == 2


def test_the_median_of_the_repetitions_counts():
    table = medians([repetition(factor) for factor in (1, 2, 9)])
    row = table.query("step == 'encode' and system == 'paper'").iloc[0]
    assert (row["seconds"], row["seconds_min"], row["seconds_max"]) == (20, 10, 90)
    assert row["repetitions"] == 3


def test_the_table_for_people_has_ratios_and_names_the_machine():
    page = text(medians([repetition(1)]), [MACHINE], slices=4, volumes=2)
    assert "no GPU, a processor, 2 cores" in page
    line = next(line for line in page.splitlines() if "denoiser, training" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:] == ["10.0", "–", "1.00", "10.0", "–"]
    assert "2.00; 25 % fp32" in page
    assert "Medians of 1 repetitions" in page
    # 10 s less the encoding of four slices at 10 s each: the rows follow from one another.
    line = next(line for line in page.splitlines() if "denoiser, training without" in line)
    assert [cell.strip() for cell in line.strip("|").split("|")][1:4] == ["-30.0", "–", "1.00"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0000374, "0.0000374"),
        (0.0011657, "0.00117"),
        (56.0, "56.0"),
        (8368.8, "8,370"),
        (float("nan"), "–"),
    ],
)
def test_numbers_for_people_have_three_digits(value, said):
    assert significant(value) == said


def test_a_choice_of_weights_that_is_noisier_over_seeds_shows_in_the_table():
    rng = np.random.default_rng(0)
    rows = [
        {"arm": "real", "seed": seed, "patient_id": f"p{k}"} for seed in range(5) for k in range(9)
    ]
    table = pd.DataFrame(rows)
    seeds = rng.normal(0, 0.05, 5)[table["seed"]]
    calm, noisy = table.assign(dice=0.7), table.assign(dice=0.7 + seeds - seeds.mean())
    found = compare_kept(noisy, calm).iloc[0]
    assert found["best: Dice"] == found["last: Dice"] == "0.700"
    assert float(found["best: SD over seeds"]) > 0.02 and found["last: SD over seeds"] == "0.000"
    assert found["last less best"].split()[0].strip("+−") == "0.000"
    assert found["last is best"] == "0 of 5 seeds"
    assert compare_kept(calm, calm)["last is best"].tolist() == ["5 of 5 seeds"]
