"""The methods section follows the run's configuration, and cites what it names."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from workflow_scripts.configuration import read_config
from workflow_scripts.report.methods import REFERENCES, methods

ROOT = Path(__file__).resolve().parents[2]
SPLITS = pd.DataFrame(
    [("n2-s0", f"p{i}", role) for i, role in enumerate(["train", "train", "validation", "test"])],
    columns=["split", "patient_id", "role"],
)


def written(*files: str, splits: pd.DataFrame = SPLITS) -> str:
    config = read_config(ROOT / "config.yaml", *(ROOT / "config" / file for file in files))
    return methods(config, splits, {"torch": "2.13.0"})


@pytest.mark.parametrize(
    "files", [[], ["tiny.yaml"], ["paper.yaml"], ["study_phantoms.yaml"], ["fast.yaml"]]
)
def test_every_citation_is_listed_once_in_the_order_of_the_text(files):
    text, _, listed = written(*files).partition("\n\n1. ")
    cited = list(dict.fromkeys(int(number) for number in re.findall(r"\[(\d+)\]", text)))
    assert cited == list(range(1, len(cited) + 1))
    lines = f"1. {listed}".strip().splitlines()
    assert [int(line.partition(".")[0]) for line in lines] == cited
    assert {line.partition(". ")[2] for line in lines} <= set(REFERENCES.values())


def test_numbers_are_those_of_the_run():
    text = written("tiny.yaml")
    assert "2 training, 1 validation and 1 test patients, drawn once" in text
    assert "32 × 32 × 24 voxels of 6 × 6 × 6 mm" in text
    assert "the masks that came with the images" in text
    steps = yaml.safe_load((ROOT / "config" / "tiny.yaml").read_text())["autoencoder"]["steps"]
    assert f"({steps} steps of 8 slices, from random weights)" in text
    assert "torch 2.13.0" in text


def test_where_training_started_and_whose_model_it_was_is_told():
    assert written().count("from weights trained on phantoms") == 2
    config = read_config(ROOT / "config.yaml")
    synthesis = config.synthesis.model_copy(update={"model": "elsewhere"})
    config = config.model_copy(update={"synthesis": synthesis})
    text = methods(config, SPLITS, {})
    assert "that another run had trained" in text
    assert "steps of 16 slices" not in text


def test_other_generators_are_told_where_an_arm_has_them():
    config = read_config(ROOT / "config.yaml")
    assert "3-D GAN" not in methods(config, SPLITS, {})
    arms = ["real+classical", "real+classical+gan3d"]
    segmentation = config.segmentation.model_copy(update={"arms": arms})
    text = methods(config.model_copy(update={"segmentation": segmentation}), SPLITS, {})
    steps = config.rivals.gan3d.steps
    assert "a 3-D GAN of image and label (hinge loss" in text and f"{steps} steps of" in text
    assert "latent diffusion model as in MONAI" not in text


def test_phantoms_are_never_called_patients_of_a_hospital():
    assert "the results do not apply to patients" in written()


def test_splits_of_several_sizes_are_given_as_a_span():
    more = SPLITS.assign(split="n3-s1")
    extra = pd.DataFrame([("n3-s1", "p9", "train")], columns=SPLITS.columns)
    text = written("tiny.yaml", splits=pd.concat([SPLITS, more, extra]))
    assert "2–3 training" in text
    assert "drawn 2 times with different seeds" in text
