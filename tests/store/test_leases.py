"""Leases: who holds one afar, who waits, and that one who died holds nothing for long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.run import once
from bench.run.jobs import Busy
from bench.store import claims, leases


@pytest.fixture
def machines(afar):
    """The folder afar, and two mirrors of it."""
    there, machine = afar
    return there, machine("a"), machine("b")


def place(mirror: Path) -> Path:
    return mirror / claims.FOLDER / "cell"


def test_one_machine_holds_it_at_a_time_and_lets_go_in_the_end(machines):
    there, ours, others = machines
    with leases.leased(place(ours)) as mine:
        assert mine and (there / claims.FOLDER / "cell").is_file()
        with leases.leased(place(others)) as theirs:
            assert not theirs
        with leases.leased(others / claims.FOLDER / "another") as theirs:
            assert theirs
    assert not [path for path in there.rglob("*") if path.is_file()]
    with leases.leased(place(others)) as theirs:
        assert theirs


def test_it_ends_with_an_error_too(machines):
    _, ours, others = machines
    with pytest.raises(ZeroDivisionError), leases.leased(place(ours)):
        _ = 1 / 0
    with leases.leased(place(others)) as theirs:
        assert theirs


def left(there: Path, by: str, seconds_ago: float) -> None:
    file = there / claims.FOLDER / "cell"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(by)
    os.utime(file, (time.time() - seconds_ago,) * 2)


@pytest.mark.parametrize(
    ("seconds_ago", "is_had"),
    [(0, False), (leases.SILENCE - 30, False), (leases.SILENCE + 5, True), (-leases.SILENCE - 30, True)],
)
def test_who_is_silent_for_long_by_whichever_clock_holds_nothing(machines, seconds_ago, is_had):
    there, ours, _ = machines
    left(there, "a machine that died", seconds_ago)
    with leases.leased(place(ours)) as mine:
        assert mine is is_had


def test_what_a_dead_process_of_this_machine_left_stops_nobody(machines):
    there, ours, others = machines
    with leases.leased(place(ours)):
        said = (there / claims.FOLDER / "cell").read_text()
    left(there, said, 0)
    with leases.leased(place(others)) as theirs:
        assert not theirs
    with leases.leased(place(ours)) as mine:
        assert mine


def test_a_holder_is_heard_as_long_as_it_lives(machines, monkeypatch):
    there, ours, others = machines
    monkeypatch.setattr(leases, "BEAT", 0.01)
    with leases.leased(place(ours)):
        left(there, "", leases.SILENCE + 30)
        until = time.monotonic() + 10
        while time.time() - (there / claims.FOLDER / "cell").stat().st_mtime > leases.SILENCE:
            assert time.monotonic() < until
            time.sleep(0.01)
        with leases.leased(place(others)) as theirs:
            assert not theirs


def test_two_runs_of_two_machines_make_a_cell_once(machines):
    _, ours, others = machines
    with once.held(ours, "cell"):
        with pytest.raises(Busy, match="another run"), once.held(others, "cell"):
            pass
        with once.held(others, "another cell"):
            pass
    with once.held(others, "cell"):
        pass


def test_a_place_that_takes_no_lease_says_so(machines):
    there, ours, _ = machines
    there.parent.joinpath("afar").write_text("a file where the directory should be")
    with pytest.raises(BenchError, match="cannot be written"), leases.leased(place(ours)):
        pass


def test_a_directory_that_is_no_mirror_has_none(tmp_path):
    with leases.leased(tmp_path / "cell") as mine:
        assert mine
    assert not [*tmp_path.iterdir()]
