"""The report of a run, as a browser shows it."""

import io

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image


def pixels(locator) -> np.ndarray:
    """What is to be seen of an element, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), dtype=int)


@pytest.mark.parametrize("width", [390, 1280, 2560])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_fault_or_a_request_and_fits(opened, width, scheme):
    page = opened(width, scheme)
    page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert page.faults == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_the_first_screen_has_the_answers(opened, width):
    page = opened(width)
    for selector in ("header .banner", "header .short", "header .facts"):
        box = page.locator(selector).bounding_box()
        assert box["y"] + box["height"] < 900, selector
    assert page.locator("header .short li").count() == 3
    assert "PHANTOM" in page.inner_text("header .banner")
    assert "Not a medical device" in page.inner_text("header .facts")


def test_tables_that_are_cut_off_say_so(opened):
    page = opened(390)
    page.wait_for_selector(".scroll.cut")
    for box in page.locator(".scroll").all():
        wide = box.evaluate("b => b.scrollWidth > b.clientWidth + 1")
        assert wide == ("cut" in box.get_attribute("class")), box.get_attribute("aria-label")


@pytest.mark.parametrize(("width", "side"), [(1280, "verdict"), (2560, "page")])
def test_wide_windows_are_used(opened, width, side):
    page = opened(width)
    if side == "verdict":
        text, figure = (page.locator(f".verdict .{c}").bounding_box() for c in ("text", "figures"))
        assert figure["x"] > text["x"] + text["width"]
    edges = page.locator("section").evaluate_all(
        "all => all.map(s => s.getBoundingClientRect()).map(r => [r.left, r.right])"
    )
    assert max(right for _, right in edges) - min(left for left, _ in edges) > 0.9 * width
    assert (len({round(left) for left, _ in edges}) == 2) == (side == "page")


def test_each_figure_is_seen(opened):
    page = opened()
    figures = page.locator("figure")
    assert figures.count() > 6
    for number in range(figures.count()):
        figure = figures.nth(number)
        figure.scroll_into_view_if_needed()
        image = figure.locator("img")
        page.wait_for_function("i => i.complete && i.naturalWidth", arg=image.element_handle())
        assert pixels(image).std() > 3, image.get_attribute("src")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_keeps_anyone_out(opened, scheme):
    found = Axe().run(opened(scheme=scheme)).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []


def test_it_can_be_sent(report):
    assert sum(file.stat().st_size for file in report.rglob("*") if file.is_file()) < 40e6


def test_without_webgl_there_are_pictures_and_a_word_on_it(launch, report):
    browser = launch("--disable-gpu", "--disable-3d-apis")
    page = browser.new_page()
    page.goto(f"file://{report}/index.html")
    page.wait_for_selector("#viewer.failed")
    assert "WebGL2" in page.inner_text("#viewer-note")
    assert not page.locator("canvas").first.is_visible()
    assert page.locator("figure").count() > 6
    browser.close()
