"""The viewer's two sides stay together, whatever key is pressed or control is used."""

import pytest

KEYS = {
    "←": "ArrowLeft", "→": "ArrowRight", "↑": "ArrowUp", "↓": "ArrowDown", "PgUp": "PageUp",
    "PgDn": "PageDown", "n": "n", "p": "p", "l": "l", "v": "v", "c": "c", "m": "m",
}  # fmt: skip
# NiiVue's own: clip plane, slice type, drag mode, and moves of its own.
FOREIGN = ("h", "j", "k", "u", "d", "s", "C", "Control+u", "Shift+V", "Shift+?")
STATE = """side => {
  const { opts, scene, volumes } = sbldm.viewers[side];
  const round = (values) => Array.from(values, (value) => Number(value.toFixed(4)));
  return {
    view: opts.sliceType, radiological: opts.isRadiologicalConvention, drag: opts.dragMode,
    cut: round(scene.crosshairPos), pan: round(scene.pan2Dxyzmm),
    turn: round([scene.renderAzimuth, scene.renderElevation, scene.volScaleMultiplier]),
    clip: round(scene.clipPlaneDepthAziElevs.flat()),
    window: [volumes[0].cal_min, volumes[0].cal_max], opacity: volumes[1].opacity,
  };
}"""


def state(page) -> dict:
    """What both sides have in common, once they are drawn; that they have is checked here."""
    page.wait_for_timeout(400)
    left, right = (page.evaluate(STATE, side) for side in ("left", "right"))
    assert left == right
    return left


def chosen(page) -> list[str]:
    """What each list and slider of the viewer says."""
    return page.eval_on_selector_all(
        "#viewer select, #viewer input", "all => all.map(e => e.value)"
    )


@pytest.fixture
def page(opened):
    """The viewer with the pointer over its left side: NiiVue heeds keys there alone."""
    page = opened()
    page.locator("#viewer").scroll_into_view_if_needed()
    page.locator("#left").focus()
    page.locator("#left").hover()
    return page


def test_every_key_that_the_page_names_is_tried_here(page):
    named = page.locator("#viewer kbd").all_inner_texts()
    assert sorted(named) == sorted(KEYS)


@pytest.mark.parametrize("key", KEYS.values())
def test_a_key_does_the_same_to_both(page, key):
    # A test patient, which has more labels than one.
    page.locator("#right-patient").select_option("0")
    for side in ("left", "right"):
        page.locator(f"#{side}").focus()
        page.locator(f"#{side}").hover()
        before = state(page), chosen(page)
        page.keyboard.press(key)
        assert (state(page), chosen(page)) != before


def test_v_goes_through_all_views_on_both(page):
    seen = []
    for _ in range(5):
        page.keyboard.press("v")
        seen.append((state(page)["view"], page.locator("#view").input_value()))
    assert seen == [(0, "axial"), (1, "coronal"), (2, "sagittal"), (4, "render"), (3, "all")]


@pytest.mark.parametrize("view", ["all", "render"])
def test_keys_of_niivue_do_nothing(page, view):
    page.locator("#view").select_option(view)
    page.locator("#left").focus()
    page.locator("#left").hover()
    before = state(page)
    for key in FOREIGN:
        page.keyboard.press(key)
        assert state(page) == before, key


def test_every_control_does_the_same_to_both(page):
    for control in page.locator("#viewer select").all():
        for value in control.locator("option").evaluate_all("all => all.map(o => o.value)"):
            control.select_option(value)
        state(page)
    for slider, value in (("#opacity", "80"), ("#low", "30"), ("#high", "120")):
        page.locator(slider).fill(value)
        state(page)
    found = state(page)
    assert (found["window"], found["opacity"]) == ([30, 120], 0.8)


def test_a_window_drawn_with_the_mouse_is_that_of_both(page):
    before = state(page)["window"]
    box = page.locator("#left").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.65)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.8, steps=4)
    page.mouse.up(button="right")
    drawn = state(page)["window"]
    assert drawn != before
    page.locator("#right").dblclick(position={"x": 60, "y": 250})
    assert state(page)["window"] != drawn
