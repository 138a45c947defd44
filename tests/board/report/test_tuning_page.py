"""The report of results with a tuning: a page of it, its figures with its methods, and nothing else that changes."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from bench.board.report import places
from bench.board.report.site import MANIFEST
from bench.board.tuning import notes, tables
from bench.compare.tuning import tunings
from bench.errors import BenchError
from bench.store import trials
from tests.board.browser import browsing, draw_all, findings, needs_browser
from tests.board.report import conftest
from tests.board.report.conftest import METHODS
from tests.board.report.test_browser import DESK, PHONE, go
from tests.board.report.test_site import Page
from tests.compare import made_trials

EVIL = METHODS[-1]


@pytest.fixture(scope="module")
def tuned(results, tmp_path_factory) -> SimpleNamespace:
    """The report of the same results after a tuning of two of its methods and one that only stands there."""
    folder = tmp_path_factory.mktemp("tuned")
    shutil.copytree(results, folder / "results")
    made_trials.write(folder / "results", ("fo-npo", EVIL, "so-npo"), 6)
    made = conftest.built(folder / "results", folder / "page")
    (made.tuning,) = tunings(folder / "results")
    made.page = places.tuning_page(made.tuning)
    made.results = folder / "results"
    return made


def names(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}


def test_there_is_a_page_of_it_and_one_of_every_method(page, tuned) -> None:
    assert names(tuned.folder) - names(page.folder) == {tuned.page, places.method_page("so-npo")}
    assert names(page.folder) <= names(tuned.folder)


def test_nothing_else_changes_where_all_tuned_methods_are_the_boards(page, results, tmp_path) -> None:
    """Not a byte of any task's, cell's or pair's page, nor of what an untuned method's page says."""
    shutil.copytree(results, tmp_path / "results")
    made_trials.write(tmp_path / "results", ("fo-npo",), 3)
    made = conftest.built(tmp_path / "results", tmp_path / "page")
    same = {name for name in names(page.folder)
            if (page.folder / name).read_bytes() == (made.folder / name).read_bytes()}  # fmt: skip
    assert names(page.folder) - same == {places.START, places.method_page("fo-npo")}


def test_a_tuning_that_is_gone_leaves_no_byte(results, page, tuned, tmp_path) -> None:
    shutil.copytree(tuned.folder, tmp_path / "page")
    again = conftest.built(results, tmp_path / "page")
    assert again.built.removed == 2
    assert names(again.folder) == names(page.folder)
    assert all((page.folder / name).read_bytes() == (again.folder / name).read_bytes() for name in names(page.folder))


def test_a_new_trial_changes_only_what_shows_it(tuned, tmp_path) -> None:
    shutil.copytree(tuned.results, tmp_path / "results")
    shutil.copytree(tuned.folder, tmp_path / "page")
    folder = trials.folder(tmp_path / "results", "embedded", "tiny", conftest.TASK)
    for trial in made_trials.made("so-npo", made_trials.METHODS["so-npo"], 7):
        if trial.number == 7 and not trial.fresh:
            trials.append(trials.path(folder, "so-npo"), trial)
    again = conftest.built(tmp_path / "results", tmp_path / "page")
    changed = {n for n in names(tuned.folder) if (tuned.folder / n).read_bytes() != (again.folder / n).read_bytes()}
    # The other methods' pages show its expected best behind their own.
    others = {places.method_page(method) for method in ("fo-npo", EVIL)}
    assert changed == {places.START, tuned.page, places.method_page("so-npo"), *others}


def test_it_says_what_the_terminal_says(tuned) -> None:
    text = " ".join(Page(tuned.folder / tuned.page).text.split())
    for part in tables(tuned.tuning):
        assert part.caption in text
        for column in part.columns:
            assert column.head in text
            assert all(" ".join(said.split()) in text for said in column.texts.values())
    assert all(note in text for note in notes(tuned.tuning))


def test_links_lead_there_and_on(tuned) -> None:
    """From the start, from every tuned method, and from the page to every method; none to nowhere."""

    def linked(name: str) -> set[str]:
        one, here = Page(tuned.folder / name), (tuned.folder / name).parent
        links = [of["href"] for tag, of in one.tags if tag == "a" and of.get("href", "#")[0] != "#"]
        return {str((here / unquote(link)).resolve().relative_to(tuned.folder.resolve())) for link in links}

    methods = {places.method_page(method) for method in ("fo-npo", EVIL, "so-npo")}
    assert all(tuned.page in linked(name) for name in (places.START, *methods))
    assert linked(tuned.page) >= methods
    assert all((tuned.folder / name).is_file() for page in (tuned.page, *methods) for name in linked(page))


def test_a_method_that_was_not_tuned_says_nothing_of_it(tuned) -> None:
    assert "Tuning of" not in Page(tuned.folder / places.method_page("target")).text
    assert "Tuning of" in Page(tuned.folder / places.method_page("so-npo")).text


def test_a_line_that_is_no_trial_is_named(tuned, tmp_path) -> None:
    shutil.copytree(tuned.results, tmp_path / "results")
    folder = trials.folder(tmp_path / "results", "embedded", "tiny", conftest.TASK)
    trials.path(folder, "so-npo").write_text("{}\n")
    with pytest.raises(BenchError, match=r"so-npo\.jsonl:1 is no trial"):
        conftest.built(tmp_path / "results", tmp_path / "page")


@needs_browser
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_it_opens_and_nothing_goes_wrong(browser, tuned, width) -> None:
    with browsing(browser, width) as tab:
        for address in (tuned.page, places.method_page(EVIL), places.method_page("so-npo"), places.START):
            go(tab, tuned, address)
            draw_all(tab)
            assert tab.wrong == []
            assert tab.evaluate("document.body.dataset.hacked") is None
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, "nothing is off the screen"
            assert tab.locator("h1").count() == 1


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, tuned, scheme) -> None:
    with browsing(browser, DESK, color_scheme=scheme) as tab:
        go(tab, tuned, tuned.page)
        draw_all(tab)
        assert findings(tab) == []


@needs_browser
def test_a_picked_method_stands_out_in_all_of_its_figures(browser, tuned) -> None:
    with browsing(browser, DESK) as tab:
        go(tab, tuned, tuned.page)
        draw_all(tab)
        tab.locator("button.chip[data-method='fo-npo']").click()
        assert tab.evaluate("bench.figures.map(({ view }) => view.signal('picked'))") == [["fo-npo"]] * 3
        assert tab.locator("tr.picked").count() == 2
