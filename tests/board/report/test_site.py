"""The report without a browser: every place is there and linked, says what the board says, and runs no text."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from bench.board import columns, verdict
from bench.board.report import places, site
from bench.board.report.pages import Folder, _interval, _marked
from bench.compare.analysis import Rules
from bench.errors import BenchError
from bench.store import files
from bench.store.record import Cell
from tests.board.report import conftest
from tests.board.report.conftest import METHODS

RULES = Rules()
LINKS = ("src", "href", "data-cell", "data-texts", "data-target", "data-retrain", "data-pair")


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._data = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._data = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._data = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._data else data


@pytest.fixture(scope="module")
def pages(page) -> dict[str, Page]:
    return {str(path.relative_to(page.folder)): Page(path) for path in page.folder.rglob("*.html")}


def test_there_is_a_place_for_everything(page, pages) -> None:
    (table,) = page.tables
    wanted = {places.START, places.task_page(table), places.pair_page(table)}
    wanted |= {places.method_page(m) for m in METHODS} | {places.cell_page(table, c) for c in page.records}
    assert set(pages) == wanted


def test_every_link_leads_somewhere(page, pages) -> None:
    """Links, scripts, styles and what scripts load, from every page."""
    links = 0
    for name, one in pages.items():
        for _, of in one.tags:
            own = [of[key] for key in LINKS if of.get(key)]
            own += list(json.loads(of["data-others"]).values()) if of.get("data-others") else []
            for link in own:
                if link.startswith(("#", "data:,")):
                    continue
                links += 1
                assert not re.match(r"[a-z]+:|//", link), link
                assert ((page.folder / name).parent / unquote(link)).resolve().is_file(), f"{name}: {link}"
    assert links > 10 * len(pages)


def test_the_start_leads_to_every_place_in_two_steps(page, pages) -> None:
    def linked(name: str) -> set[str]:
        found = {of["href"] for tag, of in pages[name].tags if tag == "a" and of.get("href") and "#" not in of["href"]}
        here = (page.folder / name).parent
        return {str((here / unquote(link)).resolve().relative_to(page.folder.resolve())) for link in found}

    near = linked(places.START)
    reached = near | {far for one in near for far in linked(one)}
    assert reached >= {name for name in pages if not name.startswith("pair/")}


def test_only_our_own_scripts_run_and_nothing_is_fetched(pages) -> None:
    for name, one in pages.items():
        run = [of for tag, of in one.tags if tag == "script" and of.get("type") != "application/json"]
        assert all(re.fullmatch(r"(\.\./)*assets/\w+\.js", of.get("src") or "") for of in run), name
        assert not [key for _, of in one.tags for key in of if key.startswith("on")], name
        (policy,) = (of["content"] for _, of in one.tags if of.get("http-equiv") == "Content-Security-Policy")
        assert policy.startswith("default-src 'none'") and "http" not in policy
        assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0] and "unsafe-eval" not in policy


def test_names_that_are_markup_are_text(page, pages) -> None:
    evil = METHODS[-1]
    assert any(evil in one.text for one in pages.values())
    for name, one in pages.items():
        assert not any(tag in ("img", "iframe", "object") for tag, _ in one.tags), name
        raw = (page.folder / name).read_text("utf-8")
        assert "<b>-" not in raw and '</script>"' not in raw


def test_the_page_says_what_the_board_says(page, pages) -> None:
    (table,) = page.tables
    text = re.sub(r"\s+", " ", pages[places.task_page(table)].text)
    assert verdict.sentence(table, RULES).strip("*") in text
    for column in (*columns.verdict(table, RULES), *columns.paper(table, RULES)):
        assert column.head in text
        assert all(said in text for said in column.texts.values())


def test_every_figure_is_told_in_words_or_why_there_is_none(page, pages) -> None:
    (table,) = page.tables
    one = pages[places.task_page(table)]
    plots = [of for tag, of in one.tags if tag == "div" and of.get("class") == "plot"]
    assert len(plots) >= 7
    assert all(of["role"] == "img" and len(of["aria-label"]) > 60 for of in plots)


def test_a_cell_has_its_answers_and_one_without_scores_has_why(results, tmp_path, page) -> None:
    shutil.copytree(results, tmp_path / "results")
    (table,) = page.tables
    record = page.records[Cell(table.task, "fo-npo", "tiny", "embedded", 1)]
    files.save(
        tmp_path / "results", dataclasses.replace(record, status="failed", scores={}, error="<i>no</i> memory"), None
    )
    made = conftest.built(tmp_path / "results", tmp_path / "page")
    one = Page(made.folder / places.cell_page(table, record.cell))
    assert "<i>no</i> memory" in one.text and not any(of.get("id") == "answers" for _, of in one.tags)
    other = Page(made.folder / places.cell_page(table, record.cell._replace(seed=0)))
    assert any(of.get("id") == "answers" for _, of in other.tags)


def test_built_again_it_writes_nothing(results, page) -> None:
    before = {path: path.stat().st_mtime_ns for path in page.folder.rglob("*") if path.is_file()}
    again = conftest.built(results, page.folder)
    assert again.built.written == again.built.removed == 0
    assert before == {path: path.stat().st_mtime_ns for path in page.folder.rglob("*") if path.is_file()}


def test_only_what_changed_is_written_and_what_is_gone_is_removed(results, tmp_path) -> None:
    shutil.copytree(results, tmp_path / "results")
    first = conftest.built(tmp_path / "results", tmp_path / "page")
    (tmp_path / "page" / "mine.txt").write_text("stays")
    (table,) = first.tables
    cell = Cell(table.task, "fo-npo", "tiny", "embedded", 0)
    record = first.records[cell]
    files.save(
        tmp_path / "results",
        dataclasses.replace(record, notes=("new",), created="2026-02-02"),
        files.items(results, cell),
    )
    second = conftest.built(tmp_path / "results", tmp_path / "page")
    written = second.built.written
    assert 1 <= written < 0.5 * sum(1 for path in first.folder.rglob("*") if path.is_file())
    assert "2026-02-02" in (tmp_path / "page" / places.cell_page(table, cell)).read_text()
    for seed in (0, 1):
        for path in (tmp_path / "results").rglob(f"fo-npo.seed{seed}.*"):
            path.unlink()
    third = conftest.built(tmp_path / "results", tmp_path / "page")
    assert third.built.removed >= 5 and not (tmp_path / "page" / places.cell_page(table, cell)).exists()
    assert not (tmp_path / "page" / places.method_page("fo-npo")).exists()
    assert (tmp_path / "page" / "mine.txt").read_text() == "stays"


def test_a_file_that_was_lost_is_made_again(results, tmp_path) -> None:
    first = conftest.built(results, tmp_path)
    lost = tmp_path / places.task_page(first.tables[0])
    lost.unlink()
    assert conftest.built(results, tmp_path).built.written == 1 and lost.is_file()


@pytest.mark.parametrize("broken", ["{", "[]", '{"a": 1}', ""])
def test_a_broken_manifest_only_costs_time(results, tmp_path, broken) -> None:
    conftest.built(results, tmp_path)
    (tmp_path / site.MANIFEST).write_text(broken)
    assert conftest.built(results, tmp_path).built.written == 0


def test_several_processes_make_the_same_pages(results, tmp_path, page, monkeypatch) -> None:
    monkeypatch.setattr(site, "POOLED", 1)
    made = conftest.built(results, tmp_path)
    names = {path.relative_to(page.folder) for path in page.folder.rglob("*") if path.is_file()}
    assert names == {path.relative_to(made.folder) for path in made.folder.rglob("*") if path.is_file()}
    assert all((page.folder / name).read_bytes() == (made.folder / name).read_bytes() for name in names)


def test_a_folder_that_cannot_be_written_is_named(results, tmp_path) -> None:
    (tmp_path / "page").write_text("a file")
    with pytest.raises(BenchError, match="is a file, not a directory"):
        conftest.built(results, tmp_path / "page")


def test_no_results_make_a_page_that_says_what_to_type(tmp_path) -> None:
    built = site.write(tmp_path, {}, [], RULES, tmp_path / "page")
    assert "python -m bench run" in Page(built.start).text


def test_addresses_are_files_of_their_own(page) -> None:
    """Neither what a file system cannot have nor a folder of their own, and different names stay different."""
    names = [
        "fo-npo",
        "simu@m=10",
        "a/b",
        "a-b",
        "a b",
        "../../etc",
        ".hidden",
        "",
        "x" * 300,
        "é<script>",
        "con:fused",
    ]
    made = [places.slug(name) for name in names]
    assert len(set(made)) == len(made)
    assert all(
        re.fullmatch(r"[A-Za-z0-9_.+=@-]+", slug) and not slug.startswith(".") and len(slug) < 100 for slug in made
    )
    assert places.slug("tofu:forget10") == "tofu-forget10" and made[:2] == names[:2]


def test_numbers_and_words_become_markup_only_where_they_are_meant() -> None:
    assert _interval("0.90 [0.86, 0.93]", True) == '<b>0.90</b> <span class="ends">[0.86, 0.93]</span>'
    assert _interval("0.11 (0.07 to 0.14)") == '0.11 <span class="ends">(0.07 to 0.14)</span>'
    assert "≠ 0.64" in _interval("≠ 0.64 [0.46, 0.74]") and 'class="ends">[0.46' in _interval("≠ 0.64 [0.46, 0.74]")
    assert _interval("<b>") == "&lt;b&gt;" and _interval("not reached") == "not reached"
    assert _marked("*Erased* is `x_y_z`, <img src=x> [a](javascript:b) ![c](d)") == (
        "<em>Erased</em> is <code>x_y_z</code>, &lt;img src=x&gt; [a](javascript:b) ![c](d)"
    )


def test_a_text_that_cannot_be_encoded_is_written_anyway(tmp_path) -> None:
    folder = Folder(tmp_path)
    folder.put("x.html", "half \ud83d of one")
    assert folder.changed == ["x.html"] and "\\ud83d" in (tmp_path / "x.html").read_text()


def test_a_variant_stands_on_its_method_s_page() -> None:
    assert places.method_page("simu@m=10") == places.method_page("simu")
