"""A tuning as lines: every number of the summary, once, and what it may be taken for."""

from __future__ import annotations

import pytest

from bench.board.tuning import lines, notes, said, share
from bench.compare.tuning import Tuning, summarise, tunings
from tests.compare import made_trials


@pytest.fixture(scope="module")
def tuning(tmp_path_factory) -> Tuning:
    folder = tmp_path_factory.mktemp("tuned")
    made_trials.write(folder)
    return tunings(folder)[0]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_tables_are_whole(tuning: Tuning) -> None:
    """Four tables in which each method has a row and each row as many cells as the head."""
    told = lines(tuning)
    rows = [_cells(line) for line in told if line.startswith("|")]
    names = ["method", "-" * 13, "fo-ga", "fo-graddiff", "fo-npo", "rmu", "so-npo"]
    dear = ["method", "-" * 8, "so-npo"]
    assert [row[0] for row in rows] == [*names, *names, *dear, *dear]
    assert [{len(row) for row in rows[a:b]} for a, b in ((0, 7), (7, 14), (14, 17), (17, 20))] == [{10}, {6}, {9}, {5}]
    assert rows[16][1] == str(len(tuning.of("so-npo").at_equal_seconds.settings)) == "3"
    table = dict(zip(rows[0], rows[4], strict=True)) | dict(zip(rows[7], rows[11], strict=True))
    one = tuning.of("fo-npo")
    assert table["trials"] == "12" and table["failed"] == "0"
    assert table["of all"] == f"{one.best:.2f}" and table["best of 1"] == f"{one.expected[0]:.2f}"
    at = one.candidates()["oracle"]
    assert table["oracle choice"] == f"{at.headline:.2f} (#{at.number}, {share(at.share)})"


def test_failed_ones_are_named(tuning: Tuning) -> None:
    text = "\n".join(lines(tuning))
    assert "1 failed, " in text and "diverged, " in text and "collapsed" in text


def test_it_says_what_it_is(tuning: Tuning) -> None:
    assert "validation data (embedded@100, embedded@101); the board's numbers are on other data" in notes(tuning)[0]
    assert any("so-npo takes more than 2 times" in note for note in notes(tuning))


def test_columns_and_notes_of_what_is_not_there(tuning: Tuning) -> None:
    """One method, no fresh runs: no optimism, nothing dear."""
    bare = summarise({"m": made_trials.made("m", made_trials.METHODS["fo-npo"], 2, fresh=0)}, "d", "tiny", "t")
    text = "\n".join(lines(bare))
    assert "ptimism" not in text and "seconds that" not in text and "of 4" not in text
    empty = "\n".join(lines(summarise({}, "d", "tiny", "t")))
    assert "Tuning of t" in empty


def test_unequal_numbers_of_trials_are_said(tuning: Tuning) -> None:
    both = {name: made_trials.made(name, made_trials.METHODS["fo-npo"], n, fresh=0) for name, n in (("a", 2), ("b", 3))}
    assert any("2 to 3 trials" in note for note in notes(summarise(both, "d", "tiny", "t")))
    assert not any("do not compare" in note for note in notes(tuning))


def test_nothing_kept_enough_is_marked() -> None:
    ruin = made_trials.Nature(5.0, -2.0, 5.0)
    text = "\n".join(lines(summarise({"m": made_trials.made("m", ruin, 2)}, "d", "tiny", "t")))
    assert " !)" in text and "no point kept that much" in text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (float("nan"), "-"), (-0.001, "0.00"), (0.125, "0.12")])
def test_numbers(value: float | None, text: str) -> None:
    assert said(value) == text


def test_shares() -> None:
    assert [share(s) for s in (0.125, 0.25, 0.5, 1.0, 0.3)] == ["1/8", "1/4", "1/2", "1", "0.3"]
