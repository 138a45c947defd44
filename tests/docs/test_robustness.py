"""docs/robustness.md is what its script makes of the declared attacks and of results/."""

from __future__ import annotations

from bench import registry
from bench.run.attacking import make
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
        assert make(name).needs in script("robustness").HOLDS
