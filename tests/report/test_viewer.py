"""Volumes as scripts: what the page reads is what was on disk."""

import base64
import gzip
import json

import nibabel as nib
import numpy as np

from workflow_scripts.common.grid import Grid
from workflow_scripts.common.labels import collapse
from workflow_scripts.common.patients import Patient
from workflow_scripts.report.viewer import class_colours, packed_volumes, script, within

GRID = Grid((32, 32, 24), (5.0, 5.0, 6.0))


def unpacked(text: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def test_volumes_keep_their_values_and_geometry(patients):
    patient = Patient(patients[0])
    packed = packed_volumes(patient, GRID.affine, ["flair", "t1ce"], "whole_tumour")
    text = script('real/"x"', packed)
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


def test_the_same_patient_is_the_same_text(patients):
    look = (Patient(patients[0]), GRID.affine, ["flair", "t1ce"], "subregions")
    assert packed_volumes(*look) == packed_volumes(*look)


def test_a_page_holds_as_many_as_fit_but_two_at_least():
    def names(limit):
        return [name for name, _ in within([("a", "12345"), ("b", "12345"), ("c", "12345")], limit)]

    assert names(15) == ["a", "b", "c"]
    assert names(14) == ["a", "b"]
    assert names(1) == ["a", "b"]


def test_each_class_has_the_colour_of_the_smallest_region_that_holds_it():
    colours = {"WT": "#FFB000", "TC": "#FE6100", "ET": "#DC267F"}
    assert class_colours("whole_tumour") == [colours["WT"]]
    assert class_colours("subregions") == [colours[name] for name in ("TC", "WT", "ET")]
