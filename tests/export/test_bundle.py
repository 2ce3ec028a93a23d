"""A segmentation network as a MONAI bundle: MONAI accepts it, and it computes what ours does."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, run, verify_net_in_out

from workflow_scripts.common.files import read_json
from workflow_scripts.common.grid import Grid
from workflow_scripts.common.patients import Patient, save_patient
from workflow_scripts.configuration import read_config
from workflow_scripts.export.export_bundle import write_bundle
from workflow_scripts.segmentation.segmenter import Segmenter, network_of

ROOT = Path(__file__).resolve().parents[2]
GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))
MODALITIES = ["flair", "t1ce"]


@pytest.fixture(params=["whole_tumour", "subregions"])
def segmenter(request) -> Segmenter:
    """An untrained network that finds something."""
    settings = read_config(ROOT / "config.yaml", ROOT / "config" / "tiny.yaml").segmentation
    settings = settings.model_copy(update={"precision": "fp32"})
    torch.manual_seed(0)
    network = network_of(settings, MODALITIES, request.param).eval().requires_grad_(False)
    network.unet.output_block.conv.conv.bias.zero_()
    return Segmenter(network, settings, MODALITIES, request.param, GRID)


@pytest.fixture
def bundle(segmenter, tmp_path) -> Path:
    config = {
        "settings": segmenter.settings.model_dump(mode="json"),
        "arm": "real",
        "modalities": MODALITIES,
        "labels": segmenter.labels,
        "grid": {"shape": list(GRID.shape), "spacing_mm": list(GRID.spacing_mm)},
    }
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_bundle(folder, config, segmenter.network.state_dict())
    return folder


def test_monais_check_of_the_network_accepts_it(bundle):
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        device="cpu",
    )


def test_all_that_it_names_can_be_built(bundle):
    parser = ConfigParser(read_json(bundle / "configs" / "inference.json"))
    for name in ("network_def", "preprocessing", "inferer", "postprocessing"):
        assert parser.get_parsed_content(name) is not None


def test_it_outlines_what_the_workflow_outlines(bundle, segmenter, patients, tmp_path):
    source = Patient(patients[0])
    volumes = (source.image(), source.label(), source.brain())
    save_patient(tmp_path / "a", *volumes, GRID.affine, MODALITIES)
    expected = segmenter.predict(Patient(tmp_path / "a"))
    assert 0 < (expected > 0).mean() < 1
    (tmp_path / "made").mkdir()
    run(
        config_file=str(bundle / "configs" / "inference.json"),
        bundle_root=str(bundle),
        image=[str(tmp_path / "a" / f"{m}.nii.gz") for m in MODALITIES],
        output=str(tmp_path / "made" / "label.nii.gz"),
    )
    made = nib.load(tmp_path / "made" / "label.nii.gz")
    assert (np.asarray(made.dataobj).squeeze() == expected).mean() > 0.999
    np.testing.assert_allclose(made.affine, GRID.affine)
