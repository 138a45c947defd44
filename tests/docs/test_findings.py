"""docs/findings.md is what its script makes of results/; its verdicts on made comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from bench.compare.comparing import Comparison
from tests.e2e.conftest import ROOT
from tests.statistics.conftest import DOCS, script


@pytest.fixture(scope="module")
def findings() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield script("findings")


def compared(difference: float, half: float, equivalent: float = 1.0) -> Comparison:
    ends = difference - half, difference + half
    return Comparison("a", "b", "headline", difference, *ends, 0.5, 0.5, "t", 20, equivalent, (0, 1, 2, 3, 4))


def test_a_verdict_is_what_was_shown_or_what_it_would_take(findings) -> None:
    assert findings._verdict(compared(0.2, 0.1), 0.01) == "**shown**"
    assert findings._verdict(compared(-0.2, 0.1), 0.01) == "**the opposite is shown**"
    assert findings._verdict(compared(0.0, 0.01, 0.001), 0.9) == "alike within 0.05"
    assert findings._verdict(compared(0.04, 0.1), 0.3).startswith("cannot be told; some 20 seeds")


def test_ranks_stand_beside_values_and_equal_ones_share_theirs(findings) -> None:
    assert findings._ranked({"a": 0.5, "b": 0.9, "c": 0.5}) == {"a": "0.50 (2.5)", "b": "0.90 (1)", "c": "0.50 (2.5)"}


def test_every_claim_is_of_methods_that_there_are(findings) -> None:
    from bench.run.compose import compose

    for claim in findings.CLAIMS:
        for method in (m for pair in claim.pairs for m in pair):
            assert compose(method, "tiny").method.name == method


def test_the_page_is_up_to_date(findings) -> None:
    text = findings.PAGE.read_text(encoding="utf-8")
    made = findings.rewritten(text, ROOT / "results")
    assert made == text, "type: python docs/findings.py"
