"""docs/restor.md is what its script makes of results/, and its words say what the tests tell."""

from __future__ import annotations

import pytest

from bench.compare.studies import restor
from bench.compare.studies.study import Figure
from tests.compare.studies.test_restor import CLEAN, CORRUPTED, study
from tests.e2e.conftest import ROOT
from tests.statistics.conftest import script


def test_the_page_is_up_to_date() -> None:
    made = script("restor")
    text = made.PAGE.read_text(encoding="utf-8")
    assert made.rewritten(text, ROOT / "results") == text, "type: python docs/restor.py"


@pytest.mark.parametrize(
    ("undiluted", "recovery", "slope", "forgotten", "expected"),
    [
        ((0.5, 0.001), (0.5, 0.001), (-0.1, 0.001), (1.0, 0.001), "restores, less when diluted"),
        ((0.5, 0.001), (0.1, 0.4), (-0.1, 0.001), (1.0, 0.001), "restores, less when diluted"),
        ((0.5, 0.4), (0.5, 0.001), (0.1, 0.001), (1.0, 0.001), "restores"),
        ((0.5, 0.001), (0.5, 0.001), (-0.1, 0.2), (1.0, 0.001), "restores"),
        ((0.1, 0.2), (0.1, 0.2), (0.0, 1.0), (0.8, 0.001), "forgets without restoring"),
        ((0.1, 0.2), (-0.5, 0.001), (0.0, 1.0), (0.8, 0.001), "forgets, and loses true facts too"),
        ((0.1, None), (0.1, None), (0.0, None), (0.8, None), "nothing is told from target"),
    ],
)
def test_a_verdict_is_what_corrected_tests_tell(undiluted, recovery, slope, forgotten, expected) -> None:
    figures = zip(restor.TESTED, (undiluted, recovery, slope, forgotten), strict=True)
    assert script("restor").verdict({title: Figure(v, p=p) for title, (v, p) in figures}) == expected


def test_a_table_has_every_method_beside_what_is_published() -> None:
    ways = {"fo-ga": CORRUPTED, "fo-npo": lambda k: 0.8 - 0.2 * k}
    lines = script("restor").table(study(ways, dict.fromkeys(ways, CLEAN))).splitlines()
    rows = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("| fo-")}
    assert rows["fo-ga"].endswith("forgets without restoring | forgets without restoring |")
    assert rows["fo-npo"].endswith("restores, less when diluted | restores, less when diluted |")
