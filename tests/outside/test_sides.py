"""Left and right in the viewer: a bright block on the patient's left is where it says L."""

import base64
import struct

import numpy as np
import pytest

from .test_viewer import look

SHAPE = (32, 36, 28)
# Names and places of the letters on the canvas, from 0 on its left to 1 on its right.
LETTERS = """() => {
  const viewer = sbldm.viewers.left, draw = viewer.drawText, found = {};
  viewer.drawText = (place, text, ...more) => {
    found[text] = place[0] / viewer.gl.canvas.width;
    draw(place, text, ...more);
  };
  viewer.drawScene();
  viewer.drawText = draw;
  return found;
}"""


def nifti(volume: np.ndarray) -> str:
    """A volume (X, Y, Z) of bytes with voxels of 5 mm and axes RAS+, as base64 of NIfTI-1."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *volume.shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, 1, 5, 5, 5, 1, 1, 1, 1)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    struct.pack_into("<2h", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, 5, 0, 0, -80, 0, 5, 0, -90, 0, 0, 5, -70)
    header[344:348] = b"n+1\0"
    return base64.b64encode(bytes(header) + volume.tobytes(order="F")).decode()


@pytest.fixture
def page(opened):
    """The viewer with a brain whose left half, at the first voxels along x, has a bright block."""
    page = opened()
    page.locator("#viewer").scroll_into_view_if_needed()
    volume = np.zeros(SHAPE, np.uint8)
    volume[4:-4, 4:-4, 4:-4] = 40
    volume[6:12, 13:23, 9:19] = 255
    page.evaluate(
        """async ([image, label]) => {
          await patientViewer.show(sbldm.viewers.left, image, label, ["#FFB000"], "planted");
          patientViewer.setWindow(sbldm.viewers.left, 0, 255, 0);
          patientViewer.goTo(sbldm.viewers.left, [-36, 0, 0]);
        }""",
        [nifti(volume), nifti(np.zeros_like(volume))],
    )
    return page


@pytest.mark.parametrize("view", ["axial", "coronal"])
@pytest.mark.parametrize("convention", ["radiological", "neurological"])
def test_l_stands_on_the_side_of_the_patients_left(page, view, convention):
    assert page.locator("#convention").input_value() == "radiological"
    page.locator("#convention").select_option(convention)
    page.locator("#view").select_option(view)
    shot = look(page, "left")
    block = np.median(np.argwhere((shot > 200).all(axis=-1))[:, 1]) / shot.shape[1]
    letters = page.evaluate(LETTERS)
    assert abs(block - letters["L"]) < abs(block - letters["R"]) - 0.15
    assert (letters["R"] < letters["L"]) == (convention == "radiological")


def test_the_letters_are_bold_and_white(page):
    """As they are drawn, against the same letters drawn once."""
    page.locator("#view").select_option("axial")
    bold = (look(page, "left") > 200).all(axis=-1).sum()
    page.evaluate(
        """() => {
          const viewer = sbldm.viewers.left;
          delete viewer.drawText;
          viewer.drawScene();
        }"""
    )
    plain = (look(page, "left") > 200).all(axis=-1).sum()
    assert bold > plain


@pytest.mark.parametrize("convention", ["radiological", "neurological"])
def test_the_arrow_keys_follow_the_picture(page, convention):
    page.locator("#convention").select_option(convention)
    page.locator("#left").focus()
    before = page.evaluate("sbldm.viewers.left.scene.crosshairPos[0]")
    page.keyboard.press("ArrowRight")
    after = page.evaluate("sbldm.viewers.left.scene.crosshairPos[0]")
    assert (after > before) == (convention == "neurological")
    assert after != before
