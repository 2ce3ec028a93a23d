"""The values that the official BraTS evaluation publishes for its sample patients."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from workflow_scripts.common.labels import REGIONS
from workflow_scripts.segmentation.official_metrics import image_scores, lesion_scores

# Reference and prediction, in the order of the published values.
FILES = {
    "BraTS-MET-00132-000": ("BraTS-MET-00132-000-seg", "00132-000"),
    "BraTS-MET-00217-000": ("BraTS-MET-00217-000-seg", "SEG-00217-000"),
    "BraTS-MET-00630-001": ("BraTS-MET-00630-001-seg", "BraTS-MET-00630-001"),
    "BraTS-MET-01325-000": ("BraTS-MET-01325-000-seg", "BraTS-MET_01325-000"),
}
PUBLISHED = {
    "official_dice": "global_bin_dsc",
    "official_hd95_voxels": "global_bin_hd95",
    "official_nsd": "global_bin_nsd",
    "lesion_tp": "tp",
    "lesion_fp": "fp",
    "lesion_fn": "fn",
    "lesion_dice": "sq_dsc",
    "lesion_hd95_mm": "sq_hd95",
    "lesion_nsd": "sq_nsd",
}


@pytest.mark.parametrize("patient", FILES)
def test_published_values_are_reproduced(patient, real_data):
    folder = real_data / "brats_evaluation"
    names = (f"{kind}/{file}" for kind, file in zip(("ref", "pred"), FILES[patient], strict=True))
    truth, guess = (nib.load(folder / "sample_data" / f"{name}.nii.gz") for name in names)
    # The package applies a voxel's sides to the axes in reverse: 1.5, 0.86, 0.86 mm to x, y, z of
    # voxels of 0.86 × 0.86 × 1.5 mm.
    sides = tuple(map(float, truth.header.get_zooms()))[::-1]
    truth, guess = (np.asarray(image.dataobj).astype(np.uint8) for image in (truth, guess))
    box = ndimage.find_objects(((truth > 0) | (guess > 0)).view(np.uint8))[0]
    truth, guess = truth[box], guess[box]
    patients = json.loads((folder / "sample_mets_metrics.json").read_text())["metrics"]
    published = next(p for p in patients if p["subject_name"].startswith(patient))
    # The resection cavity, 4, is empty in all of them.
    for region, values in {**REGIONS["subregions"], "RC": (4,)}.items():
        pair = np.isin(guess, values), np.isin(truth, values)
        scores = image_scores(*pair) | lesion_scores(*pair, sides)
        expected = {ours: published[region.lower()][theirs] for ours, theirs in PUBLISHED.items()}
        assert scores == pytest.approx(expected, rel=5e-6, nan_ok=True), region
