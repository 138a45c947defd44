"""Jobs run after what they need, in one process or several; a failure stops only what depends on it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.run.executors import Job, execute


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


def test_a_killed_worker_is_explained(tmp_path):
    with pytest.raises(BenchError, match="killed while it worked on 'x'.*--workers"):
        run(tmp_path / "log", [("x", die, ())], 2)
