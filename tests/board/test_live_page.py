"""live.js in a real browser, on pages that have nothing else: what runs is shown, newer pages are told of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest
import vl_convert

from bench.board import serve
from bench.store import live
from bench.store.live import Live
from tests.board.browser import needs_browser, until

pytestmark = needs_browser
HOSTILE = "evil<img src=x onerror=\"document.body.dataset.hacked='yes'\">{{1}}"
POLICY = (
    "default-src 'none'; img-src 'self' data: blob:; style-src 'self' file: 'unsafe-inline'; "
    "script-src 'self' file: blob:; connect-src 'self'"
)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>page</title>
<meta http-equiv="Content-Security-Policy" content="{policy}"><style>:root {{ --ink: #111; --line: #999; --panel: #eee;
--soft: #555; --accent: #06c; }} body {{ font-family: sans-serif; }}</style>
<link rel="stylesheet" href="{root}assets/report.css"></head>
<body{body}><main><h1>page</h1><section id="running" hidden></section><input aria-label="filter">
<div style="height: 4000px"></div></main>
<script src="{root}assets/vega.js"></script><script src="{root}assets/draw.js"></script>
<script src="{root}assets/live.js"></script></body></html>"""


@pytest.fixture(scope="module")
def vega() -> str:
    return f"(() => {{ {vl_convert.javascript_bundle()} }})();"


@pytest.fixture
def site(tmp_path: Path, vega: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A start page and the page of a cell, served, with a follower whose version and error the test sets."""
    monkeypatch.setattr(serve, "EVERY", 0.05)
    monkeypatch.setattr(live, "BEAT", 0.02)
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "cell").mkdir()
    (folder / "assets" / "vega.js").write_text(vega, encoding="utf-8")
    for name in ("report.css", "draw.js", "live.js"):
        script = resources.files("bench.board.report") / "assets" / name
        (folder / "assets" / name).write_text(script.read_text("utf-8"), encoding="utf-8")
    (folder / "index.html").write_text(PAGE.format(policy=POLICY, body=' data-follow="reload"', root=""))
    (folder / "cell" / "x.html").write_text(PAGE.format(policy=POLICY, body="", root="../"))
    follower = serve.Follower(tmp_path, folder, lambda *_: None, print)
    follower.version = 1
    server = serve.bound(0, folder, follower.state)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    yield SimpleNamespace(url=server.url, follower=follower, results=tmp_path, folder=folder, stop=server.stop)
    server.stop()


@pytest.fixture
def tab(browser):
    """A tab with all that went wrong in it."""
    opened = browser.new_context(viewport={"width": 800, "height": 600}).new_page()
    opened.wrong = []
    opened.on("console", lambda m: opened.wrong.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.set_default_timeout(20_000)
    yield opened
    opened.context.close()


def columns(n: int) -> dict[str, list[float]]:
    steps = [float(step) for step in range(1, n + 1)]
    return {
        "step": steps, "lr": steps, "gradient_norm": steps, "forget": [1 / s for s in steps], HOSTILE: steps,
        "trace step": steps[::2], "trace forget probability": [1 / s for s in steps[::2]],
    }  # fmt: skip


def test_cells_are_shown_while_they_run(site, tab) -> None:
    tab.goto(site.url)
    tab.wait_for_timeout(300)
    assert not tab.locator("#running").is_visible()
    cell = {"method": HOSTILE, "task": "tofu:forget10", "model": "tiny", "data": "embedded", "seed": 0}
    with Live(site.results, "run", {"run": True}) as run, Live(site.results, "a", {"cell": cell}) as job:
        run("jobs", 2, 6)
        job.curve = lambda: columns(3)
        job("unlearning", 3, 40)
        tab.wait_for_selector("#running .live-chart:nth-of-type(2) svg")
        until(tab, "document.querySelectorAll('#running .live-chart svg').length === 2")
        shown = tab.locator("#running").inner_text()
        assert HOSTILE in shown and "unlearning 3 of 40" in shown and "2 of 6 jobs done" in shown
        assert "tofu:forget10, model tiny, data embedded, seed 0" in shown
        assert tab.locator("#running progress").evaluate("bar => [bar.value, bar.max]") == [3, 40]
        tab.evaluate("document.querySelectorAll('#running svg').forEach((svg) => { svg.dataset.kept = 'yes'; })")
        points = "document.querySelectorAll('#running .mark-symbol.role-mark path').length"
        before = tab.evaluate(points)
        job.curve = lambda: columns(30)
        job("unlearning", 30, 40)
        until(tab, f"{points} > {before} + 20")
        until(tab, "document.querySelector('#running').innerText.includes('unlearning 30 of 40')")
        assert tab.locator("#running svg[data-kept=yes]").count() == 2, "the same pictures, with more in them"
        assert "left" in tab.locator("#running article").inner_text(), "27 steps took a while, so 10 more will"
        assert tab.locator("#running img").count() == 0 and tab.evaluate("document.body.dataset.hacked") is None
        tab.screenshot(path=str(site.results / "running.png"))
    tab.wait_for_selector("#running", state="hidden")
    assert tab.locator("#running article").count() == 0
    assert tab.wrong == []


def test_a_cell_without_steps_or_curve_is_shown_too(site, tab) -> None:
    tab.goto(site.url)
    with Live(site.results, "a", {}):
        tab.wait_for_selector("#running article")
        assert "preparing" in tab.locator("#running article").inner_text()
        assert tab.locator("#running .live-chart").count() == 0
    tab.wait_for_selector("#running", state="hidden")
    assert tab.wrong == []


def loaded(tab) -> None:
    """Mark this load of the page, and wait until it follows."""
    until(tab, "document.querySelector('.live-notice') !== null")
    tab.wait_for_timeout(300)
    tab.evaluate("window.first = true; scrollTo(0, 1234)")


def test_a_page_that_follows_is_loaded_again_where_it_was(site, tab) -> None:
    tab.goto(site.url)
    loaded(tab)
    site.follower.version = 2
    until(tab, "!window.first && scrollY === 1234")
    tab.wait_for_timeout(400)
    loaded(tab)
    tab.wait_for_timeout(400)
    assert tab.evaluate("window.first"), "once, not over and over"
    assert tab.wrong == []


def test_it_is_not_loaded_again_under_the_hands_of_who_types(site, tab) -> None:
    tab.goto(site.url)
    loaded(tab)
    tab.fill("input", "fo-")
    site.follower.version = 2
    tab.wait_for_selector("[role=status] button:has-text('New results: reload')")
    tab.wait_for_timeout(300)
    assert tab.input_value("input") == "fo-"
    tab.evaluate("document.activeElement.blur()")
    until(tab, "!window.first")
    assert tab.wrong == []


def test_other_pages_say_that_there_are_newer_ones(site, tab) -> None:
    tab.goto(f"{site.url}cell/x.html")
    loaded(tab)
    site.follower.version = 2
    button = tab.locator("[role=status] button:has-text('New results: reload')")
    button.wait_for()
    assert tab.evaluate("window.first")
    button.click()
    until(tab, "!window.first && scrollY === 1234")
    assert button.count() == 0 and tab.wrong == []


def test_a_build_that_failed_is_told_until_one_does_well(site, tab) -> None:
    tab.goto(f"{site.url}cell/x.html")
    site.follower.error = HOSTILE
    tab.wait_for_selector(f"[role=status] p:has-text({HOSTILE!r})")
    site.follower.error = ""
    until(tab, "document.querySelector('[role=status]').childElementCount === 0")
    assert tab.wrong == [] and tab.locator("img").count() == 0


def test_the_end_of_the_server_is_said_and_is_no_error(site, tab) -> None:
    tab.goto(site.url)
    with Live(site.results, "a", {}):
        tab.wait_for_selector("#running article")
        site.stop()
        tab.wait_for_selector("[role=status] p:has-text('The server has stopped')")
        tab.wait_for_selector("#running", state="hidden")
        tab.wait_for_timeout(500)
    assert tab.wrong == []
    tab.click("button:has-text('Try again')")
    tab.wait_for_timeout(300)
    assert "The server has stopped" in tab.locator("[role=status]").inner_text()
    assert all("ERR_CONNECTION_REFUSED" in text for text in tab.wrong), "the browser's own words at most"


def test_a_server_that_comes_back_is_followed_again(site, tab) -> None:
    tab.goto(f"{site.url}cell/x.html")
    loaded(tab)
    site.stop()
    tab.wait_for_selector("[role=status] p:has-text('The server has stopped')")
    site.follower.version = 7
    port = int(site.url.rstrip("/").rpartition(":")[2])
    again = serve.Server(port, site.folder, site.follower.state)
    threading.Thread(target=again.serve_forever, args=(0.01,), daemon=True).start()
    tab.click("button:has-text('Try again')")
    tab.wait_for_selector("[role=status] button:has-text('New results: reload')")
    assert "stopped" not in tab.locator("[role=status]").inner_text()
    again.stop()


def test_on_a_page_from_a_file_it_does_nothing(site, tab) -> None:
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((site.folder / "index.html").as_uri())
    tab.wait_for_timeout(300)
    assert tab.locator("[role=status]").count() == 0 and tab.wrong == []
    assert [url for url in asked if "live.json" in url] == []


def test_files_on_another_server_are_left_alone(site, tab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look, as live.json is not there, and none after it."""
    asked = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.route("**/live.json*", lambda route: route.fulfill(status=404))
    tab.goto(site.url)
    tab.wait_for_timeout(500)
    assert len([url for url in asked if "live.json" in url]) == 1
    assert tab.locator("[role=status]").inner_text() == ""
