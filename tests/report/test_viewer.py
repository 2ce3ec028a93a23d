"""Volumes as scripts: what the page reads is what was on disk."""

import base64
import gzip
import json

import nibabel as nib
import numpy as np

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.report.viewer import script, within

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))


def unpacked(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def test_volumes_keep_their_values_and_geometry(patients):
    patient = Patient(patients[0])
    text = script('real/"x"', patient, GRID.affine, ["flair", "t1ce"], "whole_tumour")
    name, volumes = json.loads(
        f"[{text.removeprefix('sbldm.loaded(').removesuffix(');' + chr(10))}]"
    )
    assert name == 'real/"x"'
    assert list(volumes) == ["flair", "t1ce", "label"]
    for index, modality in enumerate(["flair", "t1ce"]):
        image = unpacked(volumes[modality])
        np.testing.assert_allclose(image.affine, GRID.affine)
        np.testing.assert_allclose(
            np.asarray(image.dataobj) / 255, patient.image()[index], atol=0.5 / 255 + 1e-6
        )
    label = np.asarray(unpacked(volumes["label"]).dataobj)
    np.testing.assert_array_equal(label, collapse(patient.label(), "whole_tumour"))


def test_the_same_patient_is_the_same_script(patients):
    look = (Patient(patients[0]), GRID.affine, ["flair", "t1ce"], "subregions")
    assert script("a", *look) == script("a", *look)


def test_a_page_holds_as_many_as_fit_but_two_at_least():
    def names(limit):
        return [name for name, _ in within([("a", "12345"), ("b", "12345"), ("c", "12345")], limit)]

    assert names(15) == ["a", "b", "c"]
    assert names(14) == ["a", "b"]
    assert names(1) == ["a", "b"]
