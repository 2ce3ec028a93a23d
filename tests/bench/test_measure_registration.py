"""A registration that is wrong by known amounts is measured as such."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from workflow_scripts.bench import measure_registration
from workflow_scripts.bench.measure_registration import measure
from workflow_scripts.common.files import UserError
from workflow_scripts.common.nifti import save_nifti

TO_ITK = np.diag([-1.0, -1.0, 1.0])


def write_phantom(results, name, wrong):
    """A phantom whose registration is off by ``wrong``, template mm to template mm (4 x 4)."""
    known = np.eye(4)
    known[:3, :3] = Rotation.from_euler("xyz", [10, -5, 20], degrees=True).as_matrix()
    known[:3, 3] = [7, -3, 12]
    made = np.linalg.inv(known) @ wrong
    patient, phantom = results / "preprocess" / name, results / "cohort" / "phantoms" / name
    patient.mkdir(parents=True)
    phantom.mkdir(parents=True)
    (phantom / "truth.json").write_text(json.dumps({"to_template": known.tolist()}))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((TO_ITK @ made[:3, :3] @ TO_ITK).ravel().tolist())
    transform.SetTranslation((TO_ITK @ made[:3, 3]).tolist())
    sitk.WriteTransform(transform, str(patient / "to_template.tfm"))
    affine = np.diag([6.0, 6, 6, 1])
    affine[:3, 3] = [-60, -60, -60]
    save_nifti(np.ones((20, 20, 20)), affine, patient / "brain.nii.gz", np.uint8)


def test_what_registration_leaves_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(measure_registration, "EVERY", 1)
    wrong = np.eye(4)
    turn = Rotation.from_rotvec([0, 0, 2], degrees=True).as_matrix()
    wrong[:3, :3] = turn @ np.diag([1.03, 1, 1])
    # About the middle of the brain, which lies at -3 mm.
    wrong[:3, 3] = np.array([1.0, 0, -2]) + 3 * (wrong[:3, :3] @ np.ones(3) - 1)
    write_phantom(tmp_path, "phantom-0001", np.eye(4))
    write_phantom(tmp_path, "phantom-0002", wrong)
    right, off = measure(tmp_path).to_dict("records")
    assert max(map(abs, right.values())) < 1e-5
    expected = {"turn_z_deg": 2, "scale_x": 0.03, "shift_x_mm": 1, "shift_z_mm": -2}
    for name, value in off.items():
        assert value == pytest.approx(expected.get(name, 0), abs=0.02)


def test_a_run_without_phantoms_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no preprocessed phantoms"):
        measure(tmp_path)
