"""Published figures: whole, cited and as they stand in their sources."""

from __future__ import annotations

import re

import pytest

from bench.board.reported import Reported, read, tables
from bench.errors import UsageError


def value(title: str, method: str, column: str):
    (table,) = [t for t in tables() if t.title == title]
    (row,) = [r for r in table.rows if r[0] == method]
    return row[table.columns.index(column)]


@pytest.mark.parametrize("table", tables(), ids=lambda t: t.title)
def test_a_table_is_whole_and_cited(table: Reported):
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert table.columns[0] == "method"
    assert len({row[0] for row in table.rows}) == len(table.rows)
    assert all(isinstance(v, float) or v is None for row in table.rows for v in row[1:])
    assert re.search(r"arXiv:\d{4}\.\d{5}|https://github\.com/\S+, \S+ at [0-9a-f]{7}", table.source)
    assert re.search(r"^One (seed|run), no intervals", table.note)


def test_titles_are_unique():
    titles = [table.title for table in tables()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("title", "method", "column", "known"),
    [
        ("TOFU, LLaMA2-7B (SIMU paper)", "SIMU-GradDiff", "forget EM", 20.0),
        ("TOFU, OLMo-1B (SIMU paper)", "FO-GradDiff", "world facts EM", 0.85),
        ("LUME, LLaMA2-7B (SIMU paper)", "SIMU", "utility EM", 0.7149),
        ("TOFU forget10, Llama-2-7b-chat (open-unlearning)", "GradDiff", "forget quality", 1.8e-229),
        ("TOFU forget05, Llama-2-7b-chat (open-unlearning)", "RMU", "model utility", 0.02),
        ("TOFU forget01, Llama-3.2-1B-Instruct (open-unlearning)", "NPO", "forget quality", 0.92),
        ("MUSE Books (open-unlearning)", "Finetuned", "privleak", -57.26),
        ("LUME, OLMo-7B: the organisers' benchmarks", "GradDiff", "MMLU", 0.348),
        ("LUME, OLMo-1B: SemEval-2025 Task 4, the first five", "AILS-NTUA", "final", 0.688),
        (
            "LUME, OLMo-7B: SemEval-2025 Task 4, below the MMLU floor of 0.371, not ranked",
            "Innovative_Team",
            "MMLU",
            None,
        ),
    ],
)
def test_spot_values(title, method, column, known):
    assert value(title, method, column) == known


@pytest.mark.parametrize("model", ["Llama-2-7b-chat", "Llama-3.2-1B-Instruct"])
@pytest.mark.parametrize("split", ["forget01", "forget05", "forget10"])
def test_the_retain_model_is_the_reference_of_its_own_forget_quality(model, split):
    assert value(f"TOFU {split}, {model} (open-unlearning)", "Retain", "forget quality") == 1


def test_simu_accuracies_are_counts_of_items():
    """Accuracies on TOFU are whole numbers of items: of 400 forget and retain questions and of 117 world facts."""
    for table in tables():
        if table.title.startswith("TOFU") and "SIMU" in table.title:
            for _, _, forget, retain, facts in table.rows:
                assert [forget * 4, retain * 4] == pytest.approx([round(forget * 4), round(retain * 4)])
                assert facts == pytest.approx(round(facts * 1.17) / 1.17, abs=0.01)


PLAIN = {"title": "t", "source": "s", "note": "n", "columns": ["method", "a", "b"], "rows": [["x", 1]]}


def test_a_row_that_ends_early_is_filled_up():
    assert read(PLAIN).rows == (("x", 1.0, None),)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": [["x", 1, 2, 3]]}, "x has more than 3 values"),
        ({"source": ""}, "it needs title, source"),
        ({"surprise": 1}, "it needs title, source"),
    ],
)
def test_tables_that_are_not_whole_are_refused(change, says):
    with pytest.raises(UsageError, match=says):
        read(PLAIN | change)
