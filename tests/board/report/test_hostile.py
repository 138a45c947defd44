"""Whatever a model, a log or a record says is text on the pages: it ends no element, opens none and runs nowhere."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.board.report import site
from bench.board.report.answers import as_script
from bench.board.report.pages import Folder, plain
from bench.compare.analysis import Rules, analyse
from bench.errors import BenchError
from bench.store import files
from bench.store.record import Cell, Record

EVIL = (
    "</script><script>evil()</script>",
    "<!--<script>",
    "]]><img src=x onerror=evil()>",
    "\"onmouseover='evil()' x=\"",
    "{{ evil }} {% evil %} ${evil}",
    "\u2028evil()\u2029",
    "</pre></td></table><base href=//evil>",
    "javascript:evil()",
    "\x00\x1b[31mevil\u202e",
)


class Parsed(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, and the texts of its scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self._inside == "script" else self.words).append(data)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of cells without scores whose every text is evil."""
    results, folder = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("report")
    for i, text in enumerate(EVIL):
        record = Record(
            Cell("tofu:forget10", f"evil-{i}", "tiny", "embedded", 0),
            "failed",
            {"train": "t"},
            {text: text},
            parameters={text: text},
            overrides={text: text},
            cost={"seconds": 1.0},
            environment={text: text, "commit": text, "changed": [text]},
            notes=(text,),
            created=text,
            error=f"{text}\n{text}",
        )
        files.save(results, record, None)
    problems: list[str] = []
    records = files.records(results, problems.append)
    assert len(records) == len(EVIL) and not problems
    site.write(results, records, analyse(results, records), Rules(), folder, problems=EVIL)
    return folder


def test_texts_of_records_open_no_element_and_no_attribute(report: Path) -> None:
    pages = [Parsed(path) for path in report.rglob("*.html")]
    assert len(pages) > len(EVIL)
    for page in pages:
        for tag, attributes in page.tags:
            assert tag not in ("base", "img", "iframe", "object", "embed"), attributes
            assert not any(name.startswith("on") for name in attributes), attributes
            assert not any((attributes.get(name) or "").lower().startswith("javascript:") for name in ("href", "src"))
            if tag == "script" and attributes.get("type") != "application/json":
                assert (attributes.get("src") or "").rpartition("/")[0].endswith("assets"), attributes
        for script in page.scripts:
            json.loads(script)


def test_texts_of_records_are_shown(report: Path) -> None:
    shown = "\n".join(word for path in report.rglob("*.html") for word in Parsed(path).words)
    for text in EVIL[:6]:
        assert text in shown or ascii(text) in ascii(shown)


@given(st.one_of(st.sampled_from(EVIL), st.text(), st.text("<>&/!-scriptSCRIPT\u2028\u2029\ud800\"'\\", max_size=20)))
@example("</ScRiPt\t>")
@example("\ud800")
@settings(derandomize=True, deadline=None)
def test_no_text_in_data_can_end_its_script(text: str) -> None:
    made = str(plain({text: [text]}))
    assert not set(made) & set("<>&") and made.isascii() and made.isprintable()
    assert json.loads(made) == {text: [text]}
    script = as_script("cell", text)
    assert script.isascii() and "\n" not in script[:-1] and "<" not in script


# -- the folder ------------------------------------------------------------------------------------------------------


def test_a_manifest_cannot_have_files_outside_of_the_report_removed(report: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "old.html").write_text("old")
    (folder / "out").symlink_to(tmp_path)
    gone = ["../kept.txt", str(kept), "out/kept.txt", "a/../../kept.txt", "\0", ".", "old.html"]
    (folder / site.MANIFEST).write_text(json.dumps({"task/x.html": {"rests on": "", "files": gone}}))
    results = tmp_path / "results"
    results.mkdir()
    site.write(results, {}, [], Rules(), folder)
    assert kept.read_text() == "mine" and not (folder / "old.html").exists()


@pytest.mark.parametrize("manifest", ["[" * 100_000, '{"x": {"rests on": 1, "files": [5, {}]}}', '{"x": []}', "\ud800"])
def test_a_manifest_of_another_form_only_costs_time(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "report" / site.MANIFEST).write_bytes(manifest.encode(errors="surrogatepass"))
    assert site.write(tmp_path / "results", {}, [], Rules(), tmp_path / "report").start.is_file()


def test_two_pages_never_have_one_address(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.put("method/a.html", "one")
    folder.put("method/a.html", "one")
    with pytest.raises(BenchError, match="two pages of the report"):
        folder.put("method/a.html", "two")


def test_two_tables_never_share_their_pages(tmp_path: Path) -> None:
    for data, model in (("embedded-hops", "tiny"), ("embedded", "hops-tiny")):
        files.save(tmp_path, Record(Cell("lume", "fo-ga", model, data, 0), "failed", {}, {}, error="no"), None)
    records = files.records(tmp_path, print)
    with pytest.raises(BenchError, match="cannot hold both lume of hops-tiny on embedded and lume of tiny on"):
        site.write(tmp_path, records, analyse(tmp_path, records), Rules(), tmp_path / "report")
