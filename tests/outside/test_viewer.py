"""The viewer shows what it says, judged by the pixels, and obeys keyboard and mouse."""

import io

import numpy as np
import pytest
from PIL import Image

AMBER = np.array([255, 176, 0])


def look(page, side: str) -> np.ndarray:
    """What a side shows, (height, width, 3)."""
    page.wait_for_timeout(400)
    shot = page.locator(f"#{side}").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=int)


def tumour(shot: np.ndarray) -> int:
    """Pixels in the colour of the mask, however bright: far more red than blue."""
    return int((shot[..., 0] - shot[..., 2] > 60).sum())


def quarters(shot: np.ndarray) -> list[np.ndarray]:
    """Coronal, sagittal, axial and 3-D view, as they are laid out in a square."""
    y, x = shot.shape[0] // 2, shot.shape[1] // 2
    return [shot[:y, :x], shot[:y, x:], shot[y:, :x], shot[y:, x:]]


def differs(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((np.abs(a - b).max(axis=-1) > 20).sum() > 200)


@pytest.fixture
def page(opened):
    page = opened()
    page.locator("#viewer").scroll_into_view_if_needed()
    return page


def test_a_synthetic_patient_has_its_tumour_in_three_planes_and_in_3d(page):
    assert "synthetic" in page.locator("#right-patient option:checked").inner_text()
    for part in quarters(look(page, "right")):
        assert (part.max(axis=-1) > 60).mean() > 0.05
        assert tumour(part) > 30


def test_the_mask_is_hidden_and_shown(page):
    page.locator("#right").focus()
    with_mask = tumour(look(page, "right"))
    page.keyboard.press("m")
    assert tumour(look(page, "right")) < with_mask / 20
    page.keyboard.press("m")
    assert tumour(look(page, "right")) > with_mask / 2


@pytest.mark.parametrize("key", ["PageUp", "ArrowLeft", "ArrowUp"])
def test_keys_move_both_cuts_together(page, key):
    before = {side: look(page, side) for side in ("left", "right")}
    page.locator("#left").focus()
    for _ in range(4):
        page.keyboard.press(key)
    for side, shot in before.items():
        assert differs(shot, look(page, side)), side
    places = page.evaluate(
        "['left', 'right'].map(s => Array.from(sbldm.viewers[s].scene.crosshairPos))"
    )
    assert places[0] == pytest.approx(places[1], abs=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_scrolling_one_scrolls_the_other(page, side):
    before = {name: look(page, name) for name in ("left", "right")}
    box = page.locator(f"#{side}").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] * 0.7)
    for _ in range(4):
        page.mouse.wheel(0, 100)
        page.wait_for_timeout(80)
    for name, shot in before.items():
        assert differs(shot, look(page, name)), name


def test_another_patient_is_shown_with_its_request(page):
    before, facts = look(page, "right"), page.inner_text("#right-facts")
    assert "requested" in facts
    page.locator("#right").focus()
    page.keyboard.press("n")
    page.wait_for_function(
        "old => document.querySelector('#right-facts').innerText !== old", arg=facts
    )
    assert differs(before, look(page, "right"))


def test_window_and_view_change_what_is_seen(page):
    before = look(page, "left")
    page.locator("#high").fill("80")
    brighter = look(page, "left")
    assert brighter.mean() > before.mean() + 5
    page.locator("#left").focus()
    page.keyboard.press("v")
    assert page.locator("#view").input_value() == "axial"
    assert differs(brighter, look(page, "left"))


def test_other_modalities_are_shown(page):
    before = look(page, "left")
    options = page.locator("#modality option").all_inner_texts()
    page.locator("#modality").select_option(options[-1])
    assert differs(before, look(page, "left"))
