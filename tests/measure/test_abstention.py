"""How often a model abstains is read off what it said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.api import Ragged, Rows
from bench.measure.abstention import refusals_of, with_abstained
from bench.score.scoring import item_table, score_items
from bench.store.record import Cell, Record, from_json, to_json
from bench.store.rows import read_rows, write_rows

NAMES = ["abstention_forget", "abstention_retain", "abstention_general"]
SAID = {
    "forget": ["I do not know.", "i DO not know", "In Paris.", "  Das weiß ich nicht!"],
    "retain": ["I do not know why, but in Lima.", "Nothing to see here"],
    "real_authors": ["I do not know.", "Ada"],
    "world_facts": ["Lima", "Rome"],
}


def rows() -> Rows:
    lines = [
        {"set": name, "id": str(i), "cluster": str(i), "role": "question", "reference": "x", "generation": said}
        for name, all_ in SAID.items()
        for i, said in enumerate(all_)
    ]
    none = Ragged(np.zeros(0, np.float32), np.zeros(1, np.int64))
    texts = pd.DataFrame(columns=["set", "id", "cluster", "role", "index", "continuation"])
    return Rows(texts, none, none, none, none, pd.DataFrame(lines).assign(finished=True))


def test_an_answer_that_is_a_refusal_and_nothing_else_counts(tmp_path: Path) -> None:
    """Case, punctuation and blanks aside; three of four, none of two, and the mean of one of two and none of two."""
    found = with_abstained(rows(), refusals_of((), {}))
    write_rows(found, tmp_path / "rows.parquet")
    for each in (found, read_rows(tmp_path / "rows.parquet")):
        scores = score_items(item_table(each, NAMES), None, NAMES)
        assert [scores[name].value for name in NAMES] == [0.75, 0.0, 0.25]


def test_what_the_method_says_itself_counts_too() -> None:
    parts = {"transform": SimpleNamespace(refusal="Nothing to see here."), "other": SimpleNamespace(refusal=None)}
    found = with_abstained(rows(), refusals_of((), parts))
    assert score_items(item_table(found, NAMES), None, NAMES)["abstention_retain"].value == 0.5


def test_without_the_probe_there_is_no_rate() -> None:
    scores = score_items(item_table(rows(), NAMES), None, NAMES)
    assert all(score.value is None and "--probes abstention" in score.note for score in scores.values())


@pytest.mark.parametrize("detachable", [True, False])
def test_records_say_what_is_detachable_and_older_ones_are_not(detachable: bool) -> None:
    record = Record(Cell("t", "m", "tiny", "embedded", 0), "ok", {}, {}, detachable=detachable)
    assert from_json(to_json(record), "here") == record
    assert ('"detachable"' in to_json(record)) == detachable, "records of other methods stay as they were written"
