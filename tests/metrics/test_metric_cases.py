"""Every case in cases/*.json: a few items, and what each metric must be, with the arithmetic in `why`.

A case is {"name", "why", "items", "expect": {metric: number or null}} and may have "compat" and "retrain" (items too).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.score.scoring import item_table, score_items

CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted((Path(__file__).parent / "cases").glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any], rows_of) -> None:
    names, compat = list(case["expect"]), case.get("compat", "")
    items = item_table(rows_of(case["items"]), names, compat)
    retrain = item_table(rows_of(case["retrain"]), names, compat) if "retrain" in case else None
    scores = score_items(items, retrain, names, compat=compat)
    for name, expected in case["expect"].items():
        if expected is None:
            assert scores[name].value is None and scores[name].note, name
        else:
            assert scores[name].value == pytest.approx(expected, rel=1e-6, abs=1e-9), name
