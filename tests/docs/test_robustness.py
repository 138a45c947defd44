"""docs/robustness.md is what its script makes of the declared attacks and of results/."""

from __future__ import annotations

import dataclasses
import re

from bench import registry
from bench.board.robustness import HOLDS
from bench.compare.comparing import Comparison
from bench.compare.readings import Line
from bench.compare.robustness import Recovery
from bench.run.attacking import make
from bench.store.attacked import DELIVERED, PLAIN
from tests.e2e.conftest import ROOT
from tests.statistics.conftest import script


def test_the_page_is_up_to_date() -> None:
    made = script("robustness")
    text = made.PAGE.read_text(encoding="utf-8")
    assert made.rewritten(text, ROOT / "results") == text, "type: python docs/robustness.py"


def test_every_attack_says_what_it_assumes() -> None:
    said = script("robustness").attacks()
    for name in registry.names("attack"):
        assert f"| `{name}` |" in said
        assert make(name).needs in HOLDS


def row(
    line: str,
    weak: str = "",
    powerless: tuple[str, ...] = (),
    settings: tuple[str, ...] = ("",),
    known: float = 0.9,
    control: bool = False,
) -> Recovery:
    told = Comparison("m", "retrain", "", 0.1, 0.0, 0.2, 0.01, 0.01, "", 9, 1.0, (0, 1))
    curves = dict.fromkeys(settings, ((0.0, 0.1, 0.0, known),))
    return Recovery("m", DELIVERED, Line("a", line, control), (0, 1), excess=told, weak=weak, curves=curves,
                    powerless=powerless)  # fmt: skip


def test_what_has_power_is_said_by_line_and_setting() -> None:
    told = script("robustness").with_power
    weak = row("x", "the target itself knows 0.20 when it is asked so", ("one",), ("one",), 0.2)
    assert told([]) == told([row("x", control=True)]) == "-"
    assert told([row("x"), row("y")]) == "yes"
    assert told([weak, row("of another", control=True)]) == "no: the target knows 0.20 at most"
    assert told([weak, row("y")]) == "in part: y"
    assert told([row("x", powerless=("one",), settings=("one", "two", "three"))]) == "in part: x (two / three)"
    assert told([weak, row("x", settings=("one", "two"), powerless=("one",))]) == "in part: x (two)"
    assert told([row("", powerless=("a, b",), settings=("a, b", "a, c"))]) == "in part: a, c"
    ruined = dataclasses.replace(row("x"), excess=None, weak="costs more than 10% of what is kept")
    assert told([ruined]) == "-" and told([ruined, row("x")]) == "yes", "of one method ruin says nothing of the attack"


def test_every_board_has_a_column_of_power() -> None:
    """In one table, and every attack but none a line."""
    text = script("robustness").PAGE.read_text(encoding="utf-8")
    power = text[text.index("<!-- power -->") : text.index("## What was found")]
    lines = [line for line in power.splitlines() if line.startswith("| ")]
    assert {line.count(" | ") for line in lines} == {len(re.findall("^### ", text, re.M))}
    assert [line.split("`")[1] for line in lines[1:]] == [name for name in registry.names("attack") if name != PLAIN]
