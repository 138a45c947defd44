"""The page in a real browser, from a file and without a network: it sorts, filters, opens cells, runs no text."""

from __future__ import annotations

import shutil

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")


@pytest.fixture(scope="module")
def opened(page):
    """The page in a browser, with everything that went wrong in it."""
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(offline=True)
        tab = context.new_page()
        tab.wrong = []
        tab.on("console", lambda message: tab.wrong.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
        tab.on("requestfailed", lambda request: tab.wrong.append(f"failed: {request.url}"))
        tab.goto(page.index.as_uri())
        tab.wait_for_selector("body[data-ready=yes]", timeout=30_000)
        yield tab
        browser.close()


def methods(tab) -> list[str]:
    return tab.eval_on_selector_all(
        "#table-0 tbody tr > th[scope=row]",
        "cells => cells.filter(c => c.offsetParent !== null).map(c => c.textContent)",
    )


def test_it_loads_without_an_error(opened) -> None:
    assert opened.wrong == []
    assert opened.title() == "unlearning-bench: report"
    assert opened.eval_on_selector_all("figure img", "images => images.every(i => i.complete && i.naturalWidth > 0)")


def test_it_sorts_by_a_column(opened) -> None:
    """Twice on "model utility": ascending by value, then descending; the texts have intervals, the order has not."""
    header = opened.locator("#table-0 th:has-text('model utility')").first
    values = "cells => cells.map(c => Number(c.dataset.order))"
    column = (
        2
        + opened.eval_on_selector_all(
            "#table-0 thead th", "heads => heads.findIndex(h => h.textContent.includes('model utility'))"
        )
        - 1
    )
    for reverse in (False, True):
        header.click()
        opened.wait_for_timeout(100)
        found = opened.eval_on_selector_all(f"#table-0 > * tbody tr > :nth-child({column})[data-order]", values)
        assert len(found) >= 4 and found[:4] == sorted(found[:4], reverse=reverse)


def test_it_filters(opened) -> None:
    box = opened.locator("#table-0 input[type=search]").first
    box.fill("fo-npo")
    opened.wait_for_timeout(200)
    assert methods(opened) == ["fo-npo"]
    box.fill("")
    opened.wait_for_timeout(200)
    assert len(methods(opened)) == 4


def test_it_opens_cells_and_shows_hostile_texts_as_texts(opened) -> None:
    shown = ""
    for button in opened.locator("#table-0 button.cell").all():
        button.press("Enter")
        opened.wait_for_selector(f"#cell[data-cell='{button.get_attribute('data-cell')}']")
        for summary in opened.locator("#cell details > summary").all():
            summary.click()
        shown += " ".join(opened.locator("#cell td.answer").all_text_contents())
        widths = opened.eval_on_selector_all(
            "#cell td.answer", "cells => cells.map(c => c.getBoundingClientRect().width)"
        )
        assert all(width < 600 for width in widths), "a long answer must wrap"
    assert opened.evaluate("document.body.dataset.hacked") is None
    assert opened.locator("#cell img, #cell script, #cell b").count() == 0
    assert "<script>document.body.dataset.hacked" in shown and "\U0001f600" in shown and "</script><img" in shown
    assert opened.locator("#cell .curves svg").count() >= 4
    assert opened.wrong == []
