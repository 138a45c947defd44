"""What a model said is kept beside its record, and only with the measurement that it is of."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from bench.store import answers, files
from bench.store.record import Cell, Record

CELL = Cell("tofu:forget10", "fo-npo", "tiny", "embedded", 0)
RECORD = Record(CELL, "ok", {"train": "t", "measure": "m", "score": "s"}, {})


@pytest.fixture
def said() -> pd.DataFrame:
    columns = ["set", "id", "cluster", "role", "reference", "generation", "finished"]
    return pd.DataFrame(
        [
            ("forget", "1", "a", "question", "In Rome.", "In \U0001f600 Rom", True),
            ("forget", "1", "a", "paraphrased_question", "In Rome.", "", False),
            ("retain", "1", "b", "question", "Never", "</script>\u2028", True),
        ],
        columns=columns,
    )


def test_what_was_said_comes_back(tmp_path, said):
    answers.save(tmp_path, RECORD, said)
    assert answers.said(tmp_path, RECORD) == {
        ("forget", "1"): {"question": ("In \U0001f600 Rom", "In Rome."), "paraphrased_question": ("", "In Rome.")},
        ("retain", "1"): {"question": ("</script>\u2028", "Never")},
    }


def test_answers_of_another_measurement_or_none_are_not_shown(tmp_path, said):
    assert answers.said(tmp_path, RECORD) is None
    answers.save(tmp_path, RECORD, said)
    assert answers.said(tmp_path, dataclasses.replace(RECORD, keys={"measure": "other"})) is None


def test_a_measurement_without_answers_leaves_none_behind(tmp_path, said):
    answers.save(tmp_path, RECORD, said)
    answers.save(tmp_path, RECORD, said.iloc[:0])
    assert not answers.path(tmp_path, CELL).exists()


def test_a_broken_file_is_as_good_as_none(tmp_path, said):
    answers.save(tmp_path, RECORD, said)
    answers.path(tmp_path, CELL).write_bytes(b"PAR1 no more")
    assert answers.said(tmp_path, RECORD) is None


def test_it_is_no_record_and_no_item_table(tmp_path, said):
    answers.save(tmp_path, RECORD, said)
    complaints: list[str] = []
    assert files.records(tmp_path, complaints.append) == {} and complaints == []
