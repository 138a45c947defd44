"""The report of ten thousand cells, and of the committed results: seconds to build, bytes of the start page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks._results import generate
from tests.benchmarks._timing import Clock
from tests.benchmarks.test_board import leaderboard

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
ROOT = Path(__file__).resolve().parents[2]
MB = 10**6


def test_report_of_ten_thousand_cells(benchmark: Any, clock: Clock, tmp_path: Path) -> None:
    """Once its tests are known it is built in 60 s on two cores; built again nothing is written, in half the time
    and by one process."""
    results, page = tmp_path / "results", tmp_path / "page"
    assert generate(results) == 10_000
    leaderboard(results)
    built = benchmark.pedantic(leaderboard, (results, "--html", str(page)), rounds=1)
    before = {path: path.stat().st_mtime_ns for path in page.rglob("*")}
    again = leaderboard(results, "--html", str(page))
    assert before == {path: path.stat().st_mtime_ns for path in page.rglob("*")}
    clock.add("built", built.spent)
    clock.add("built again", again.spent)
    benchmark.extra_info["MB of the start page"] = (page / "index.html").stat().st_size / MB
    assert sum(1 for _ in (page / "cell").rglob("*.html")) == 10_000
    clock.only_if_quiet()
    assert built.spent.wall < 60
    assert again.spent.wall < built.spent.wall / 2


def test_start_page_of_the_committed_results(benchmark: Any, clock: Clock, tmp_path: Path) -> None:
    """With all that it loads it is below 3 MB, and in a browser its figures stand within 2 s."""
    from tests.board.browser import CHROMIUM, READY

    leaderboard(ROOT / "results", "--html", str(tmp_path))
    start = [tmp_path / "index.html", *(tmp_path / "assets").iterdir()]
    assert sum(path.stat().st_size for path in start) < 3 * MB
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed here")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()

        def shown() -> None:
            tab.goto((tmp_path / "index.html").as_uri())
            tab.wait_for_selector(READY)
            tab.wait_for_selector(".card .plot svg")

        benchmark.pedantic(lambda: clock.time("shown", shown), rounds=1)
        browser.close()
    clock.only_if_quiet()
    assert clock.wall("shown") < 2
