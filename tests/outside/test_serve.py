"""Asking for a patient on the local page, in a real browser."""

import csv
import io
import json
import os
import subprocess
import zipfile

import numpy as np
import pytest

from .test_viewer import differs, look, tumour


@pytest.fixture(scope="module")
def address(report):
    """A page that is served for these tests, with a patient of the run as a brain to choose."""
    command = [os.environ["PYTHON"], "-m", "workflow_scripts.command", "serve", "--model", "prior"]
    brain = next(report.parent.glob("synthesis/*/patients/synthetic-0001"))
    command += ["--anatomy", str(brain)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        yield served.stdout.readline().strip()
        served.terminate()


@pytest.fixture
def page(browser, address):
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, accept_downloads=True)
    page = context.new_page()
    page.faults = []
    page.on("console", lambda m: m.type in ("error", "warning") and page.faults.append(m.text))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(address)
    page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
    yield page
    context.close()


def test_a_click_and_a_slider_make_a_patient_to_download(page, tmp_path):
    before = look(page, "where")
    box = page.locator("#where").bounding_box()
    # In the axial view, on the picture's left, which is the patient's right, and behind the middle.
    page.mouse.click(box["x"] + box["width"] * 0.17, box["y"] + box["height"] * 0.8)
    assert differs(before, look(page, "where"))
    place = [float(page.input_value(f"#{axis}")) for axis in "xyz"]
    assert place[0] > 10
    page.locator("#volume").fill("65")
    page.wait_for_function("!document.querySelector('#make').disabled")
    asked_ml = float(page.inner_text("#volume-text").removesuffix(" mL"))
    page.locator("#make").click()
    page.wait_for_selector("#result[data-shown='1']", timeout=120_000)
    assert tumour(look(page, "made")) > 100
    with page.expect_download() as download:
        page.locator("#download").click()
    file = tmp_path / "patient.zip"
    download.value.save_as(file)
    with zipfile.ZipFile(file) as archive:
        record = json.loads(archive.read("synthetic-0001/request.json"))
        table = io.StringIO(archive.read("synthetic-0001/requests.tsv").decode())
        assert {"synthetic-0001/flair.nii.gz", "synthetic-0001/label.nii.gz"} <= set(
            archive.namelist()
        )
    (row,) = csv.DictReader(table, delimiter="\t")
    assert float(row["volume_ml"]) == asked_ml
    assert [float(row[f"centroid_{axis}_mm"]) for axis in "xyz"] == place
    measured = record["measured"]
    assert 0.5 < measured["volume_ml"] / asked_ml < 2
    gap = np.subtract([measured[f"centroid_{axis}_mm"] for axis in "xyz"], place)
    assert np.linalg.norm(gap) < 20
    assert f"{measured['volume_ml']:.1f}" in page.inner_text("#facts")
    assert page.faults == []


def test_another_brain_can_be_chosen_and_settings_stay_within_limits(page):
    names = page.locator("#anatomy option").all_inner_texts()
    assert names == ["synthetic-0001", "a new phantom for each seed"]
    before = look(page, "where")
    page.locator("#anatomy").select_option("phantom")
    page.wait_for_timeout(1000)
    assert differs(before, look(page, "where"))
    assert page.locator("#guidance").count() == 0
    low, high = page.evaluate("KNOWN.limits.volume_ml")
    for end, expected in (("0", low), ("100", high)):
        page.locator("#volume").fill(end)
        assert float(page.inner_text("#volume-text").removesuffix(" mL")) == expected
    page.wait_for_function("!document.querySelector('#make').disabled || reason.innerText")
    assert "learned from" not in page.inner_text("#reason")
    assert "medical device" in page.inner_text("header")


def test_a_torn_brain_is_said(page):
    row = "measured_brain_pieces: 2, outcome: 'volume', attempts: 5"
    names = ("volume_ml", "centroid_x_mm", "centroid_y_mm", "centroid_z_mm", "sphericity")
    row += "".join(f", {side}_{name}: 1" for side in ("requested", "measured") for name in names)
    page.route("**/requests", lambda route: route.fulfill(json={"number": 7}))
    page.route("**/requests/7/volumes", lambda route: route.fulfill(json={}))
    job = "{name: 'synthetic-0007', state: 'done', progress: 1, row: {" + row + "}}"
    job = page.evaluate(f"({job})")
    page.route("**/requests/7", lambda route: route.fulfill(json=job))
    page.evaluate("patientViewer.supported = () => false")
    page.wait_for_function("!document.querySelector('#make').disabled")
    page.locator("#make").click()
    page.wait_for_selector("#result[data-shown='7']")
    text = page.inner_text("#outcome.banner")
    assert "brain is torn" in text and "volume is not as requested" in text


def test_a_place_without_room_is_greyed_out_with_the_reason(page):
    page.locator("#x").fill("200")
    page.locator("#x").dispatch_event("change")
    page.wait_for_function("document.querySelector('#reason').innerText")
    assert page.locator("#make").is_disabled()
    assert "only 0% of the tumour lies in the brain" in page.inner_text("#reason")


def test_the_place_moves_by_keyboard(page):
    page.locator("#where").focus()
    before = float(page.input_value("#x"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    moved = float(page.input_value("#x"))
    assert moved < before
    # With the patient's left on the left, the same key goes the other way.
    page.locator("#convention").select_option("neurological")
    page.locator("#where").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#x")) > moved


def test_nobody_without_the_token_is_let_in(browser, address):
    page = browser.new_context().new_page()
    assert page.goto(address.rstrip("/").rpartition("/")[0] + "/").status == 403
