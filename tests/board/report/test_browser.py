"""The report in a real browser, from files and without a network, on a desk and on a phone."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.board.report import places
from bench.store.record import Cell
from tests.board.browser import READY, browsing, draw_all, findings, needs_browser, until
from tests.board.report.conftest import METHODS

pytestmark = needs_browser
DESK, PHONE = 1400, 390


@pytest.fixture(scope="module", params=[DESK, PHONE])
def tab(browser, request):
    with browsing(browser, request.param) as tab:
        tab.width = request.param
        yield tab


@pytest.fixture(scope="module")
def desk(browser):
    with browsing(browser, DESK) as tab:
        yield tab


def go(tab, page, address: str) -> None:
    tab.wrong.clear()
    name, _, query = address.partition("?")
    tab.goto((page.folder / name).as_uri() + (f"?{query}" if query else ""))
    tab.wait_for_selector(READY, timeout=30_000)


def kinds(page) -> dict[str, str]:
    """One page of each kind, those with hostile texts and names among them."""
    (table,) = page.tables
    evil = METHODS[-1]
    return {
        "start": places.START,
        "task": places.task_page(table),
        "method": places.method_page("fo-npo"),
        "evil method": places.method_page(evil),
        "cell": places.cell_page(table, Cell(table.task, "fo-npo", "tiny", "embedded", 0)),
        "cell without answers": places.cell_page(table, Cell(table.task, "fo-npo", "tiny", "embedded", 1)),
        "evil cell": places.cell_page(table, Cell(table.task, evil, "tiny", "embedded", 0)),
        "pair": f"{places.pair_page(table)}?a=fo-npo&b=retrain",
    }


KINDS = ("start", "task", "method", "evil method", "cell", "cell without answers", "evil cell", "pair")


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_opens_and_nothing_goes_wrong(tab, page, kind) -> None:
    go(tab, page, kinds(page)[kind])
    draw_all(tab)
    assert tab.wrong == []
    assert tab.evaluate("document.body.dataset.hacked") is None
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.width, "nothing is off the screen"
    assert tab.locator("main img, main iframe, main b > script").count() == 0
    assert tab.locator("h1").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, page, scheme) -> None:
    with browsing(browser, DESK, color_scheme=scheme) as tab:
        for kind, address in kinds(page).items():
            go(tab, page, address)
            draw_all(tab)
            tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            assert findings(tab) == [], kind


def test_axe_finds_nothing_serious_on_a_phone(browser, page) -> None:
    with browsing(browser, PHONE) as tab:
        for kind, address in kinds(page).items():
            go(tab, page, address)
            assert findings(tab) == [], kind


def values(tab, column: str) -> list[float]:
    """What the first board is sorted by in a column, in the order in which it shows its rows."""
    return tab.evaluate(
        """(name) => { const table = document.querySelector("table.board");
             const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === name);
             return [...table.tBodies[0].rows].map((row) => Number(row.cells[at].dataset.order)); }""",
        column,
    )


def test_a_board_sorts_by_value_and_filters(tab, page) -> None:
    go(tab, page, kinds(page)["task"])
    head = tab.locator("table.board").first.locator("th", has_text=re.compile(r"^\s*erased\s*$"))
    for reverse in (False, True):
        head.click()
        tab.wait_for_timeout(300)
        assert values(tab, "erased") == sorted(values(tab, "erased"), reverse=reverse)
    head.focus()
    box = tab.get_by_label("Filter").first
    box.fill("fo-npo")
    assert tab.locator("table.board").first.locator("tbody tr").count() == 1
    box.fill("")
    assert tab.locator("table.board").first.locator("tbody tr").count() == len(METHODS)


def opacity(tab, figure: str) -> dict[str, float]:
    """Of the large marks of each method in a figure."""
    return tab.evaluate(
        """(name) => { const found = {};
             for (const { view, element } of bench.figures) { if (element.dataset.name !== name) continue;
               const visit = (item) => { if (item.items) item.items.forEach(visit);
                 else if (item.datum && item.datum.method && item.mark.marktype === "symbol" && item.size > 60)
                   found[item.datum.method] = item.opacity ?? 1; };
               visit(view.scenegraph().root); }
             return found; }""",
        figure,
    )


def test_a_picked_method_stands_out_everywhere_and_in_the_address(desk, page) -> None:
    go(desk, page, kinds(page)["task"])
    draw_all(desk)
    desk.locator("button.chip", has_text="fo-npo").click()
    desk.mouse.move(0, 0)
    desk.wait_for_timeout(200)
    for figure in ("forest", "erased-kept"):
        seen = opacity(desk, figure)
        assert seen["fo-npo"] == 1 and all(of < 0.5 for name, of in seen.items() if name != "fo-npo"), figure
    assert desk.locator("tr.picked").count() == desk.locator("tr[data-method='fo-npo']").count() > 1
    assert desk.url.endswith("#pick=fo-npo")
    link = desk.url
    desk.goto("about:blank")
    desk.goto(link)
    desk.wait_for_selector(READY)
    assert desk.locator("button.chip[aria-pressed=true]").all_text_contents() == ["fo-npo"]
    desk.locator("button.chip", has_text="retrain").press("Enter")
    compare = desk.locator(".compare")
    assert compare.inner_text() == "Compare fo-npo with retrain"
    compare.click()
    desk.wait_for_selector("#pair select")
    assert "a=fo-npo" in desk.url and "b=retrain" in desk.url
    desk.go_back()
    desk.wait_for_selector(READY)
    assert desk.locator("button.chip[aria-pressed=true]").count() == 2
    assert desk.wrong == []


def test_a_hovered_mark_makes_its_row_stand_out(desk, page) -> None:
    go(desk, page, kinds(page)["task"])
    draw_all(desk)
    desk.locator("tr[data-method='target']").first.hover()
    assert desk.locator("tr.picked").first.get_attribute("data-method") == "target"
    figure = desk.locator("figure[data-name='erased-kept'] .plot")
    figure.scroll_into_view_if_needed()
    at = desk.evaluate(
        """() => { const named = ({ element }) => element.dataset.name === "erased-kept";
             const { view, element } = bench.figures.find(named);
             const box = element.querySelector("svg").getBoundingClientRect(); const origin = view.origin(); let found;
             const { left, top } = view.padding();
             const visit = (item, x, y) => { const [u, v] = [x + (item.x || 0), y + (item.y || 0)];
               if (item.items) item.items.forEach((one) => visit(one, item.marktype ? x : u, item.marktype ? y : v));
               else if (item.datum?.method === "fo-npo" && item.mark.marktype === "symbol") found = [u, v]; };
             visit(view.scenegraph().root, 0, 0);
             return [box.left + left + origin[0] + found[0], box.top + top + origin[1] + found[1]]; }"""
    )
    desk.mouse.move(*at)
    desk.wait_for_timeout(300)
    assert set(desk.eval_on_selector_all("tr.picked", "rows => rows.map(r => r.dataset.method)")) == {"fo-npo"}
    desk.mouse.move(0, 0)


def test_a_figure_is_saved_as_a_picture_and_as_its_data(desk, page) -> None:
    go(desk, page, kinds(page)["task"])
    draw_all(desk)
    spec = json.loads(desk.locator("figure[data-name='erased-kept'] script").text_content())
    with desk.expect_download() as caught:
        desk.get_by_role("button", name="Save the data of Erased against kept as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(caught.value.path()).read_text())))
    assert len(rows) == len(spec["data"]["values"])
    methods = {row["method"] for row in spec["data"]["values"] if row.get("method")}
    assert {row["method"] for row in rows if row["method"]} == methods
    with desk.expect_download() as caught:
        desk.get_by_role("button", name="Save Erased against kept as SVG").click()
    text = Path(caught.value.path()).read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg") and "#010101" not in text and "<script" not in text
    assert caught.value.suggested_filename.endswith("erased-kept.svg")


def test_a_figure_is_drawn_when_it_is_scrolled_to(desk, page) -> None:
    go(desk, page, kinds(page)["task"])
    last = desk.locator("figure.chart[data-name] .plot").last
    assert last.locator("svg").count() == 0
    last.scroll_into_view_if_needed()
    last.locator("svg").wait_for()


def test_csv_survives_any_text(desk, page) -> None:
    go(desk, page, places.START)
    rows = [{"a": 'x "y", z', "b": 1}, {"a": "=1+1\n2", "c": None}, {"b": -1.5}]
    text = desk.evaluate("(rows) => bench.csv(rows)", rows)
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b", "c"], ['x "y", z', "1", ""], ["'=1+1\n2", "", ""], ["", "-1.5", ""],
    ]  # fmt: skip


def test_the_start_finds_a_task_by_words(browser, page) -> None:
    with browsing(browser, DESK) as tab:
        go(tab, page, places.START)
        assert tab.locator(".card").count() == 1 and tab.locator("#find").count() == 0
        assert tab.locator(".card h2 a").inner_text() == "tofu:forget10"


def test_everything_is_reached_by_keyboard(desk, page) -> None:
    """The first key leads to the content; from the start the task, and from its row a cell, are opened by Enter."""
    go(desk, page, places.START)
    desk.keyboard.press("Tab")
    assert desk.evaluate("document.activeElement.textContent") == "Skip to the content"
    for link, then in ((".card h2 a", "tofu:forget10"), ("td.cells a", "seed")):
        desk.locator(link).first.focus()
        assert desk.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        desk.keyboard.press("Enter")
        desk.wait_for_selector(READY)
        until(desk, f"document.title.includes({then!r})")


def test_it_prints_without_what_only_a_screen_can_do(desk, page) -> None:
    go(desk, page, kinds(page)["task"])
    draw_all(desk)
    desk.emulate_media(media="print")
    assert not desk.locator(".save").first.is_visible() and not desk.locator(".dt-search").first.is_visible()
    assert desk.locator(".chip").first.is_visible(), "the figures' one legend"
    assert desk.locator("table.board").first.is_visible() and desk.locator(".plot svg").first.is_visible()
    desk.emulate_media(media="screen")


def test_figures_follow_the_scheme(desk, page) -> None:
    go(desk, page, kinds(page)["task"])
    draw_all(desk)
    label = "getComputedStyle(document.querySelector('.plot svg text')).fill"
    light = desk.evaluate(label)
    desk.emulate_media(color_scheme="dark")
    desk.wait_for_timeout(1500)
    assert desk.evaluate(label) != light
    desk.emulate_media(color_scheme="light")


def test_half_a_link_and_names_that_are_gone_pick_nothing(desk, page) -> None:
    for hash_ in ("#pick=100%", "#pick=gone-method"):
        go(desk, page, places.START)
        desk.goto((page.folder / kinds(page)["task"]).as_uri() + hash_)
        desk.wait_for_selector(READY)
        assert desk.locator("button.chip[aria-pressed=true]").count() == 0
        assert not desk.evaluate("document.body.classList.contains('picking')") and desk.wrong == []


def test_a_row_picks_its_method_and_picks_go_along(desk, page) -> None:
    go(desk, page, places.START)
    desk.locator("button.chip", has_text="fo-npo").click()
    desk.locator(".card h2 a").click()
    desk.wait_for_selector(READY)
    assert desk.locator("button.chip[aria-pressed=true]").all_text_contents() == ["fo-npo"]
    desk.locator("table.board").first.locator("tr[data-method='retrain'] td").nth(1).click()
    assert desk.url.endswith("#pick=fo-npo,retrain")
