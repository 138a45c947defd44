"""What a terminal shows of a table: within its width, nothing wrapped, and a way out for what was left out."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.board import terminal
from bench.compare.analysis import analyse
from bench.store import files
from tests.board.conftest import controls

CONTROLS = controls(0)

ROOT = Path(__file__).resolve().parents[2]


def printed(table, width=100, **options) -> list[str]:
    paper = io.StringIO()
    Console(width=width, file=paper).print(terminal.lines(table, width, **options))
    return [line.rstrip() for line in paper.getvalue().splitlines()]


def test_a_row_a_method_with_values_and_intervals(board):
    (table,) = analyse(*board(*CONTROLS, ("b", 0, 0.2, 0.9), ("gone", 0, 0.0, -0.1)))
    said = printed(table)
    order = [w for w in (line.partition(" ")[0] for line in said) if w in ("target", "retrain", "b", "gone")][:4]
    assert order == ["target", "retrain", "b", "gone"]
    found = table.row("b").scores["erased"]
    assert f"{found.value:.2f} [{found.lo:.2f},{found.hi:.2f}]" in "\n".join(said)
    assert said[0].startswith("tofu:forget10: embedded world")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_narrow_terminal_has_fewer_columns_and_says_which(board, width):
    (table,) = analyse(*board(*CONTROLS, ("npo+sophia+random-neurons", 0, 0.8, 0.2)))
    said = printed(table, width)
    assert max(map(len, said)) <= width
    assert any("npo+sophia+random-neurons" in line for line in said)
    assert ("too wide for here" in " ".join(said)) == (width < 140)


def test_variants_are_shown_where_they_were_run(board):
    (table,) = analyse(*board(*CONTROLS, ("b", 0, 0.8, 0.2), ("b@lr=1", 0, 0.8, 0.3), ("b@lr=2", 0, 0.8, 0.3)))
    assert not any("@" in line for line in printed(table))
    assert sum("@" in line for line in printed(table, variants=["b@lr=1"])) == 1


def test_what_is_left_out_comes_with_its_reason_and_what_to_do(board):
    results, records = board(*CONTROLS, ("a", 0, "diverged"), ("c", 0, "failed"), ("c", 1, "failed"))
    (table,) = analyse(results, records)
    of = {line.split(",")[1].split("/")[1]: line for line in terminal.left_out(table, Path("mine"))}
    assert "diverged: boom. Try a smaller step: python -m bench run --methods a" in of["a"]
    assert of["c"].count("tofu:forget10/c/") == 2
    assert of["c"].endswith("--methods c --tasks tofu:forget10 --model tiny --data embedded --seeds 0,1 --results mine")
    assert terminal.left_out(table, results, cells=[]) == []


@pytest.mark.slow
def test_the_committed_tables_fit_a_hundred_columns_with_nothing_wrapped():
    results = ROOT / "results"
    for table in analyse(results, files.records(results, pytest.fail)):
        said = printed(table)
        assert max(map(len, said)) <= 100
        body = said[next(i for i, line in enumerate(said) if set(line) == {"─"}) + 1 :][: len(table.rows)]
        assert all(row.method in line.split() for row, line in zip(table.rows, body, strict=True))
        assert not any("…" in line for line in said)
