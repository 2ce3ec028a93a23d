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
