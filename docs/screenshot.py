"""Photograph the page of the committed results for README.

python docs/screenshot.py        needs `make page`, playwright and a chromium
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE / "page" / "task" / "embedded-tiny-tofu-forget10.html"
SHOT = HERE / "report.png"


def main() -> int:
    """Write docs/report.png: the figures of a task with one method picked."""
    from playwright.sync_api import sync_playwright

    if not PLACE.is_file():
        print("there is no page yet. Run: make page", file=sys.stderr)
        return 1
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme="light")
        tab.goto(f"{PLACE.as_uri()}#pick=so-npo,simu-npo")
        tab.wait_for_selector("body[data-ready=yes]")
        tab.evaluate("bench.drawAll()")
        tab.locator("#figures").scroll_into_view_if_needed()
        tab.evaluate("window.scrollTo(0, document.querySelector('#figures').offsetTop - 120)")
        tab.wait_for_timeout(500)
        tab.screenshot(path=str(SHOT))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
