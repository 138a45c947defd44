"""A browser for tests of pages: what went wrong in it is kept, and axe-core judges what it shows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")
READY = "body[data-ready=yes]"
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The one browser of a session: Playwright cannot be started twice in a process."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def browsing(browser: Any, width: int = 1400, height: int = 900, offline: bool = True, **options: Any) -> Iterator[Any]:
    """A tab, by default without a network; `tab.wrong` lists errors and warnings of its console and failed requests."""
    context = browser.new_context(offline=offline, viewport={"width": width, "height": height}, **options)
    tab = context.new_page()
    tab.wrong = []
    tab.on("console", lambda m: tab.wrong.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.on("requestfailed", lambda request: tab.wrong.append(f"failed: {request.url}"))
    yield tab
    context.close()


def until(tab: Any, true: str, seconds: float = 20.0) -> None:
    """Wait until an expression is true; Playwright's own wait needs an `eval` that the pages forbid."""
    from playwright.sync_api import Error

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if tab.evaluate(true):
                return
        except Error as error:
            if "navigation" not in str(error):
                raise
        tab.wait_for_timeout(30)
    raise AssertionError(f"never true: {true}")


def draw_all(tab: Any) -> None:
    """Every figure, for they are drawn when they are scrolled to."""
    tab.evaluate("bench.drawAll()")
    until(tab, "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('svg, canvas'))")


def findings(tab: Any, within: str | None = None) -> list[str]:
    """Serious and critical findings of axe-core, each with the first element that it is about.

    Args:
        within: looks only at what is inside of what this selects.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(tab, context=within).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in SERIOUS]
