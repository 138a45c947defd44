"""Runs that share a results directory and a cache: each model and each cell is made once between them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.run import executors, once
from bench.run.jobs import Busy, Job
from bench.store import claims
from bench.store.record import Cell


@pytest.fixture
def request_(tmp_path: Path) -> Any:
    return SimpleNamespace(results=tmp_path / "results", cache=tmp_path / "cache", url="")


@pytest.fixture
def made(request_: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was made, by whom does not matter; a cell that was made is done, a model that was made is there."""
    found: list[str] = []

    def make(request, what, progress):
        found.append(str(what.cell))
        (request_.results / str(what.cell.seed)).touch()
        return "made"

    def state_of(results, cell, keys, identity):
        return ("done" if (results / str(cell.seed)).is_file() else "to do"), ""

    request_.results.mkdir()
    monkeypatch.setattr(once, "run_cell", make)
    monkeypatch.setattr(once, "state_of", state_of)
    monkeypatch.setattr(once.files, "read", lambda path: "read")
    monkeypatch.setattr(executors, "AGAIN", 0.01)
    return found


def planned(seed: int, state: str = "to do") -> Any:
    cell = Cell("tofu:forget10", "fo-npo", "tiny", "embedded", seed)
    return SimpleNamespace(cell=cell, keys={}, identity={}, state=state)


def test_two_runs_make_every_cell_once_between_them(request_: Any, made: list[str]) -> None:
    ends: list[tuple[Any, BaseException | None]] = []

    def ended(job: Job, result: Any, error: BaseException | None) -> bool:
        ends.append((result, error))
        return error is None

    jobs = [Job(str(seed), once.run_cell_once, (request_, planned(seed))) for seed in range(30)]
    both = [threading.Thread(target=executors.execute, args=(of, 1, ended, False)) for of in (jobs, jobs[::-1])]
    for run in both:
        run.start()
    for run in both:
        run.join()
    assert len(made) == len({*made}) == 30
    assert sorted(ends, key=str) == [("made", None)] * 30 + [("read", None)] * 30


def test_a_cell_that_failed_before_is_run_again_and_one_that_fails_meanwhile_is_not(
    request_: Any, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "state_of", lambda *_: ("failed", "why"))
    assert once.run_cell_once(request_, planned(0, "failed"), print) == "made"
    assert once.run_cell_once(request_, planned(0, "to do"), print) == "read"


HOLDS = """
import sys, time
from pathlib import Path
from bench.store.claims import claimed
with claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_who_is_killed_lets_go_and_the_file_that_is_left_stops_nobody(tmp_path: Path) -> None:
    place = tmp_path / claims.FOLDER / "cell"
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(place)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "True\n"
    with claims.claimed(place) as mine:
        assert not mine
    holder.kill()
    holder.wait()
    assert place.is_file()
    with claims.claimed(place) as mine:
        assert mine
    assert not place.is_file()


def test_a_hundred_who_take_turns_never_hold_it_together(tmp_path: Path) -> None:
    """The file is removed by each that held it, so that some lock one that is gone."""
    place, inside, most, had = tmp_path / "claim", 0, 0, 0
    lock = threading.Lock()

    def take() -> None:
        nonlocal inside, most, had
        for _ in range(50):
            with claims.claimed(place) as mine:
                if mine:
                    with lock:
                        inside, had = inside + 1, had + 1
                        most = max(most, inside)
                    with lock:
                        inside -= 1

    threads = [threading.Thread(target=take) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and had > 50


def test_a_model_that_another_run_makes_is_waited_for(request_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "prepare", lambda *_: ["warned"])
    wanted = SimpleNamespace(key="model")
    with once.held(request_.cache, "model"), pytest.raises(Busy, match="another run"):
        once.prepare_once(request_, wanted, print)
    assert once.prepare_once(request_, wanted, print) == ["warned"]


def test_where_nothing_can_be_locked_everything_may_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with claims.claimed(tmp_path / "file" / "claim") as mine:
        assert mine
