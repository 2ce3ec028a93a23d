"""What ``sbldm info`` says of a model folder."""

import shutil
from pathlib import Path

import pytest

from workflow_scripts.common.files import write_json
from workflow_scripts.synthesis.describe import describe_model, started_from
from workflow_scripts.synthesis.origin import ORIGIN

PRIOR = Path(__file__).resolve().parents[2] / "prior"


@pytest.mark.parametrize(("phantoms", "kind"), [(True, "phantoms"), (False, "patients")])
def test_phantoms_are_not_called_patients_and_the_prior_is_named(tmp_path, phantoms, kind):
    folder = shutil.copytree(PRIOR, tmp_path / "model")
    priors = {"autoencoder": "embedded", "diffusion": "embedded"}
    write_json({"phantoms": phantoms, "priors": priors}, folder / ORIGIN)
    lines = describe_model(folder)
    assert kind in lines["learned from"]
    assert lines["started from"] == "the prior embedded (trained on phantoms)"


def test_the_prior_itself_learned_from_phantoms():
    lines = describe_model(PRIOR)
    assert "phantoms" in lines["learned from"]
    assert "started from" not in lines


def test_networks_may_start_from_different_weights():
    text = started_from({"autoencoder": "/mine", "diffusion": "none"})
    assert text == "autoencoder: the model /mine, diffusion: random weights"
