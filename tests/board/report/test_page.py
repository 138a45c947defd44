"""What the page says, without a browser: every method, every figure in words, and nothing that a text could run."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from bench.api import Score
from bench.board.report.cells import as_script, worst_first
from bench.board.report.figures import FLOOR, log10, pareto
from tests.board.report.conftest import HOSTILE, METHODS


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def tags(page) -> list[tuple[str, dict[str, str | None]]]:
    return Tags(page.index.read_text("utf-8")).found


def test_every_method_and_seed_can_be_opened(page, tags) -> None:
    text = page.index.read_text("utf-8")
    assert all(method.replace("<", "&lt;").replace(">", "&gt;") in text for method in METHODS)
    opened = {a["data-cell"] for tag, a in tags if tag == "button"}
    assert opened == {path.stem for path in (page.folder / "cells").iterdir()} and len(opened) == 2 * len(METHODS)


def test_only_our_own_scripts_run_and_nothing_is_fetched(page, tags) -> None:
    assert [a["src"] for tag, a in tags if tag == "script"] == ["assets/datatables.js", "assets/report.js"]
    assert not [key for _, a in tags for key in a if key.startswith("on")]
    outside = [a[key] for _, a in tags for key in ("src", "href") if re.match(r"[a-z]+:|//", a.get(key) or "")]
    assert outside == []
    (policy,) = (a["content"] for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'") and "http" not in policy


def test_every_figure_is_told_in_words(page, tags) -> None:
    alts = [a["alt"] or "" for tag, a in tags if tag == "img"]
    assert len(alts) == len(list((page.folder / "figures").iterdir())) >= 5
    assert all(len(alt) > 60 for alt in alts)
    assert any("Pareto front" in alt and "fo-npo" in alt for alt in alts)
    assert any("AUC" in alt for alt in alts)


def test_figures_hold_names_as_text(page) -> None:
    for path in (page.folder / "figures").iterdir():
        assert "<script" not in path.read_text("utf-8") and "<b>" not in path.read_text("utf-8")


def test_a_cell_s_file_cannot_end_its_script(page) -> None:
    for path in (page.folder / "cells").iterdir():
        text = path.read_text("ascii")
        assert not set("<>&") & set(text) and text.startswith("report.show({") and text.endswith("});\n")


@pytest.mark.parametrize("text", [*HOSTILE, "half \ud83d of one"])
def test_hostile_text_comes_back_as_it_was(text: str) -> None:
    script = as_script("cell", {"said": text})
    assert json.loads(script.removeprefix("report.show(").removesuffix(");\n"))["said"] == text
    assert script.isascii()


def test_answers_stand_side_by_side_where_rows_are_and_are_missed_where_not(page) -> None:
    cells = [json.loads(p.read_text()[len("report.show(") : -3]) for p in (page.folder / "cells").iterdir()]
    by_name = {cell["cell"]: cell for cell in cells}
    whole, without = (by_name[f"tofu:forget10/fo-npo/tiny/embedded/seed{seed}"] for seed in (0, 1))
    forget = next(s for s in whole["sets"] if s["set"] == "forget")
    answer = forget["items"][0]["answers"][0]
    assert all(isinstance(answer[key], str) for key in ("reference", "target", "method", "retrain"))
    assert whole["note"] == "" and "not here" in without["note"]
    assert all(item["answers"] == [] for s in without["sets"] for item in s["items"])
    assert whole["curve"]["clipped"][0] is None
    assert whole["parameters"]["lr"] == "0.0001 (settings)"


def test_questions_are_those_of_the_embedded_world() -> None:
    from bench.board.report.cells import questions

    asked = questions("tofu:forget10", "embedded", "")
    assert len(asked) > 100 and all(text.endswith("?") for text in list(asked.values())[:20])
    assert questions("tofu:forget10", "files", "") == {}


def test_the_worst_come_first() -> None:
    """A forget item that is still said, a retain item that is lost; without answers, by probability."""
    items = pd.DataFrame({"set": "x", "id": ["a", "b", "c"], "rouge": [0.1, 0.9, 0.5], "loss": [0.0, 1.0, 2.0]})
    assert [line["id"] for line in worst_first("forget", items)[1]] == ["b", "c", "a"]
    assert [line["id"] for line in worst_first("retain", items)[1]] == ["a", "c", "b"]
    column, lines = worst_first("forget", items.drop(columns="rouge"))
    assert column == "probability" and [line["id"] for line in lines] == ["a", "b", "c"]


def test_pareto_front_by_hand() -> None:
    """(1, 5) and (3, 3) and (4, 1) are beaten by none; (2, 2) is by (3, 3), (3, 1) by (3, 3); equals both stay."""
    points = {"a": (1.0, 5.0), "b": (3.0, 3.0), "c": (4.0, 1.0), "d": (2.0, 2.0), "e": (3.0, 1.0), "f": (3.0, 3.0)}
    assert pareto(points) == ["a", "b", "f", "c"]
    assert pareto({}) == []


def test_a_p_value_of_0_has_a_place() -> None:
    assert log10(Score(0.0, 0.0, 0.01)) == (FLOOR, FLOOR, -2.0)
    assert log10(Score(0.1)) == (-1.0, -1.0, -1.0)
