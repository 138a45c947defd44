"""docs/methods.md is what docstrings and parameters say, and says of every method what it has to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest

from bench import registry
from bench.api import param
from bench.board import catalogue
from bench.cli.main import main
from bench.needs import alternatives, hidden, start_logits
from tests.e2e.conftest import ROOT

PAGE = ROOT / "docs" / "methods.md"
SCREEN = 40


def entries() -> dict[str, list[str]]:
    """The lines of each entry by its title."""
    parts = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {title: text.split("\n## ")[0].strip().splitlines() for title, _, text in (p.partition("\n") for p in parts)}


def test_the_page_is_up_to_date(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["list", "methods", "--docs", "--check"]) == 0, capsys.readouterr().err


def test_every_method_has_one_entry_of_a_screen_that_says_what_it_must():
    methods = {name for name in registry.names("method") if catalogue._is_ours("method", name)}
    of = {title: lines for title, lines in entries().items() if title.split(", ")[0] in methods}
    assert sorted(name for title in of for name in title.split(", ")) == sorted(methods)
    for title, lines in of.items():
        assert len(lines) < SCREEN, f"{title}: {len(lines) + 1} lines"
        text = "\n".join(lines)
        assert "**Idea:** " in text and "methods/" in text, title
        assert "**Cost:** " in text, f"{title}: say `Cost:` in the docstring of what is no gradient loop"


def test_links_lead_somewhere():
    text = PAGE.read_text(encoding="utf-8")
    anchors = {catalogue._anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_an_out_of_date_page_is_said_and_another_can_be_written(tmp_path, capsys):
    page = tmp_path / "new" / "methods.md"
    assert main(["list", "methods", "--docs", "--check", "--output", str(page)]) == 1
    assert "is out of date. Run: python -m bench list methods --docs" in capsys.readouterr().err
    assert main(["list", "methods", "--docs", "--output", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")
    assert main(["list", "tasks", "--docs"]) == 2 and "--docs is of methods" in capsys.readouterr().err


def test_paragraphs_are_told_by_their_first_word():
    found = catalogue.words(
        """Claim: less
        is more.

        L = 2 x
            + 1

        At x = 0 it is 1.

        Deviations: none: as written.

        Args:
            x: ignored.

        Cost: not read, for it stands behind the arguments.
        """
    )
    assert found == ("less is more.", "L = 2 x\n    + 1", ("At x = 0 it is 1.",), {"Deviations": "none: as written."})
    assert catalogue.words("One line.") == ("", "", ("One line.",), {})
    assert catalogue.words("Claim: words.\n\nNo formula.").text == ("No formula.",)


def test_an_objective_shows_the_claim_of_the_function_that_it_calls():
    text = "\n".join(entries()["fo-npo, so-npo"])
    assert "Ascent that fades for what is already forgotten" in text
    assert "```\nL = -(2 / beta) mean_i log sigmoid(" in text and "| `beta` | 0.1 | inverse temperature;" in text
    assert "**Defaults:** beta is the paper's 0.1." in text and "**Deviations:** from the paper none" in text


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        ("ga", "A step runs a batch of forget answers forward and backward. Nothing is run without gradient."),
        ("graddiff", "a batch of forget and retain answers"),
        ("npo", "Without gradient, the start model gives the log-probability of each forget answer"),
    ],
)
def test_passes_follow_from_what_an_objective_declares(objective: str, says: str):
    assert says in catalogue._steps(registry.load("objective", objective)())


def test_what_is_needed_of_the_start_model_is_said():
    asking = SimpleNamespace(retain=False, needs=(hidden(7, "forget"), alternatives("refusal")))
    said = catalogue._steps(asking)
    assert "a batch of forget and alternative answers" in said and "of the kind 'refusal'" in said
    assert "behind layer 7" in said and "its hidden states at the labels of forget answers" in said
    both = catalogue._steps(SimpleNamespace(needs=start_logits("forget", "retain")))
    assert (
        "its logits at the labels of forget and retain answers (a number a label and token of the vocabulary)" in both
    )


@dataclass(frozen=True)
class _Part:
    """Nothing."""

    package: ClassVar[str] = "none"
    rate: float = param(3e-5, "a | b")
    layers: tuple[int, ...] = param((1, 2), "which *")
    how: str = param("a", "how", choices=("a", "b"))
    more: int | None = param(None, "")


def test_parameters_stand_as_the_command_line_takes_them():
    assert list(catalogue._parameters(_Part)) == [
        "| `rate` | 3e-05 | a \\| b |", "| `layers` | 1:2 | which \\* |", "| `how` | a | how (a, b) |",
        "| `more` | none |  |",
    ]  # fmt: skip


def test_a_part_that_is_made_of_another_lists_only_what_differs():
    lines = entries()["scope random-neurons"]
    assert [line for line in lines if line.startswith("| `")] == [
        "| `neurons` | random | which neurons may move (critical, random, all, none) |"
    ]
    assert "Other parameters are those of `simu`." in lines
