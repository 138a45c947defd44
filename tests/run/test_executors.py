"""Jobs run after what they need, in one process or several; a failure stops only what depends on it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.run import executors
from bench.run.executors import execute
from bench.run.jobs import Busy, Job, Lost


def note(path, name, report):
    report("writing", 1, 1)
    with Path(path).open("a") as file:
        file.write(name + "\n")
    return name


def fail(path, name, report):
    raise BenchError(f"{name} cannot")


def die(path, name, report):
    os._exit(9)


def run(path, jobs, workers, stop=False):
    seen = {}

    def ended(job, result, error):
        seen[job.name] = result if error is None else error
        return error is None

    execute([Job(n, f, (str(path), n), frozenset(needs)) for n, f, needs in jobs], workers, ended, stop_at_failure=stop)
    return seen, path.read_text().split() if path.exists() else []


@pytest.mark.parametrize("workers", [1, 2])
def test_needs_come_first_and_failures_stay_local(tmp_path, workers):
    jobs = [("a", note, ()), ("bad", fail, ()), ("b", note, ("a",)), ("c", note, ("bad",)), ("d", note, ("c",))]
    seen, order = run(tmp_path / "log", jobs, workers)
    assert order == ["a", "b"]
    assert seen["a"] == "a"
    assert str(seen["bad"]) == "bad cannot"
    assert "needs bad" in str(seen["c"])
    assert "needs c" in str(seen["d"])


def await_word(path, name, report):
    """Ends once somebody else has written the file."""
    until = time.monotonic() + 60
    while not Path(path).exists():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_something_else_is_done_once_while_workers_are_at_their_first_jobs(tmp_path, workers):
    told = []
    jobs = [Job(name, await_word, (str(tmp_path / "word"), name)) for name in "abc"]

    def meanwhile():
        told.append("meanwhile")
        (tmp_path / "word").write_text("go on")

    execute(jobs, workers, lambda job, result, error: not told.append(error), False, meanwhile=meanwhile)
    assert told == ["meanwhile", None, None, None]


@pytest.mark.parametrize("workers", [1, 2])
def test_fail_fast_starts_nothing_more(tmp_path, workers):
    jobs = [("bad", fail, ()), *[(str(i), note, ("bad",)) for i in range(3)]]
    seen, order = run(tmp_path / "log", jobs, workers, stop=True)
    assert (list(seen), order) == (["bad"], [])


def test_a_job_whose_process_is_killed_twice_has_failed_and_the_others_go_on(tmp_path):
    jobs = [*[(str(i), note, ()) for i in range(3)], ("x", die, ()), ("y", note, ("x",)), ("z", note, ())]
    seen, order = run(tmp_path / "log", jobs, 2)
    assert isinstance(seen["x"], Lost) and "killed twice" in str(seen["x"])
    assert "needs x" in str(seen["y"])
    assert [seen[name] for name in "012z"] == [*"012z"] and {*order} == {*"012z"}


def die_once(path, name, report):
    """Killed the first time, while its neighbour is at work."""
    if not Path(f"{path}.{name}").exists():
        Path(f"{path}.{name}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return note(path, name, report)


def slow(path, name, report):
    time.sleep(0.5)
    return note(path, name, report)


def test_a_process_that_is_killed_once_costs_no_job(tmp_path):
    jobs = [("slow", slow, ()), ("x", die_once, ()), ("y", die_once, ()), ("z", note, ("x", "y", "slow"))]
    seen, order = run(tmp_path / "log", jobs, 2)
    assert seen == {name: name for name in ("slow", "x", "y", "z")}
    assert order[-1] == "z" and sorted(order) == ["slow", "x", "y", "z"]


def taken(path, name, report):
    """Another run is at it until three others have been done."""
    if not Path(path).exists() or len(Path(path).read_text().split()) < 3:
        raise Busy(name)
    return note(path, name, report)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_another_run_is_at_waits_and_holds_up_nobody(tmp_path, workers, monkeypatch):
    monkeypatch.setattr(executors, "AGAIN", 0.05)
    jobs = [("taken", taken, ()), ("after", note, ("taken",)), *[(str(i), note, ()) for i in range(3)]]
    seen, order = run(tmp_path / "log", jobs, workers)
    assert seen == {name: name for name, _, _ in jobs}
    assert order == ["0", "1", "2", "taken", "after"] or {*order[:3]} == {"0", "1", "2"}


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_that_nothing_leads_to_do_not_hang(tmp_path, workers):
    seen, order = run(tmp_path / "log", [("a", note, ()), ("b", note, ("c",)), ("c", note, ("b",))], workers)
    assert order == ["a"] and all("not started" in str(seen[name]) for name in "bc")
