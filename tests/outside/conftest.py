"""A browser, and the report of a finished run: ``REPORT`` names its folder."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

# WebGL without a GPU.
SOFTWARE = ("--enable-unsafe-swiftshader", "--use-gl=angle", "--use-angle=swiftshader")
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def report() -> Path:
    return Path(os.environ["REPORT"]).resolve()


@pytest.fixture(scope="session")
def launch():
    """Start a browser with these options besides its own."""
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        yield lambda *options: playwright.chromium.launch(
            executable_path=installed, args=[*options, *root]
        )


@pytest.fixture(scope="session")
def browser(launch):
    browser = launch(*SOFTWARE)
    yield browser
    browser.close()


@pytest.fixture
def opened(browser, report):
    """The report in a window of a width, in a colour scheme, with what went wrong and what it
    asked others for."""
    contexts = []

    def open_report(width: int = 1280, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.faults = []
        page.on("console", lambda m: m.type in ("error", "warning") and page.faults.append(m.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("request", lambda r: r.url.startswith("http") and page.faults.append(r.url))
        page.goto(f"file://{report}/index.html")
        page.wait_for_selector("#viewer[data-ready=yes]", timeout=60_000)
        return page

    yield open_report
    for context in contexts:
        context.close()
