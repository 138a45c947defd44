"""What a run says of its end, on simulated runs whose end is known."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from bench.run.executors import execute
from bench.run.jobs import Job
from bench.run.pace import Kind, Pace, words


@dataclass(frozen=True)
class Simulated:
    name: str
    kind: Kind
    needs: frozenset[str] = frozenset()
    seconds: float = field(default=0.0, compare=False)


MEANS = {"taught": 40.0, "measured": 1.5, "unlearned": 6.0}


def main_job(seed: int, kept: bool = False) -> list[Simulated]:
    """The grid as the main job makes it: models first, and a cell of the retrain model before the other cells."""
    rng = random.Random(seed)

    def job(name: str, kind: Kind, *needs: str) -> Simulated:
        mean = 0.02 if kind == ("kept",) else MEANS[kind[0]]
        return Simulated(name, kind, frozenset(needs), mean * rng.uniform(0.7, 1.3))

    taught: Kind = ("kept",) if kept else ("taught", "tofu")
    jobs = [job("base", taught)]
    for seed in range(3):
        jobs.append(job(f"full {seed}", taught, "base"))
        jobs += [job(f"{task} retain {seed}", taught, "base") for task in "abc"]
    for task in "abc":
        for seed in range(3):
            retrain = job(f"{task} retrain {seed}", ("measured", task), f"{task} retain {seed}")
            jobs += [retrain, job(f"{task} target {seed}", ("measured", task), f"full {seed}", retrain.name)]
            jobs += [
                job(f"{task} method {m} {seed}", ("unlearned", task, f"m{m}"), f"full {seed}", retrain.name)
                for m in range(8)
            ]
    return jobs


def play(jobs: list[Simulated], workers: int) -> tuple[list[tuple[float, float | None, set[str]]], float]:
    """(time, what the pace says, first words of the kinds that have ended) at each end, and when all was over."""
    now, told, seen = 0.0, [], set()
    pace = Pace(jobs, workers, clock=lambda: now)
    waiting, running, done = list(jobs), {}, set()
    while waiting or running:
        while len(running) < workers and (job := next((j for j in waiting if j.needs <= done), None)):
            waiting.remove(job)
            pace.starts(job)
            running[job] = now + job.seconds
        job = min(running, key=running.__getitem__)
        now = running.pop(job)
        done.add(job.name)
        seen.add(job.kind[0])
        pace.ends(job, job.seconds)
        told.append((now, pace.left(), set(seen)))
    return told, now


@pytest.mark.parametrize("workers", [1, 2, 4, 16])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_is_within_a_factor_of_two_once_a_job_of_each_kind_is_known(workers, kept, seed):
    jobs = main_job(seed, kept)
    told, end = play(jobs, workers)
    kinds = {job.kind[0] for job in jobs}
    spoken = 0
    for now, left, seen in told:
        if seen != kinds:
            continue
        spoken += 1
        if end - now > 2 * MEANS["unlearned"]:
            assert 0.5 <= left / (end - now) <= 2, (now, left, end - now)
        else:  # the last jobs are running, and each may be a slow one
            assert abs(left - (end - now)) < 1.3 * MEANS["unlearned"], (now, left, end - now)
    assert spoken > len(jobs) / 2


def test_nothing_is_said_before():
    told, _ = play(main_job(0), 2)
    assert all(left is None for _, left, seen in told if "unlearned" not in seen)
    assert words(None) == ""


def test_a_resumed_run_is_not_told_by_what_was_kept():
    """Thirteen models that are there already end at once and say nothing of seventy cells."""
    told, _ = play(main_job(0, kept=True), 1)
    assert all(left is None for _, left, seen in told if seen == {"kept"})


def test_a_job_that_failed_says_nothing_of_others_and_is_no_longer_waited_for():
    a, b, c = (Simulated(n, ("cell",), seconds=10) for n in "abc")
    pace = Pace([a, b, c], 1, clock=lambda: 0.0)
    pace.starts(a)
    pace.ends(a, None)
    assert pace.left() is None
    pace.starts(b)
    pace.ends(b, 10.0)
    assert pace.left() == 10.0


def test_the_running_job_counts_by_what_is_left_of_it():
    now = 0.0
    a, b, c = (Simulated(n, ("cell",), needs) for n, needs in (("a", ()), ("b", ()), ("c", frozenset("b"))))
    pace = Pace([a, b, c], 2, clock=lambda: now)
    for job in (a, b):
        pace.starts(job)
    now = 8.0
    pace.ends(a, 8.0)
    assert pace.left() == 9.0, "b is due now, c comes after it"
    now = 20.0
    assert pace.left() == 9.0, "b is overdue, and yet not over"


@pytest.mark.parametrize(("seconds", "said"), [(8.4, "about 8 s left"), (99, "about 99 s left"), (330, "about 6 min")])
def test_words(seconds, said):
    assert words(seconds).startswith(said)


def rest(seconds, report):
    return seconds


@pytest.mark.parametrize("workers", [1, 2])
def test_the_executor_tells_the_pace(workers):
    said = []
    jobs = [Job(str(n), rest, (n,)) for n in range(3)]
    pace = Pace(jobs, workers)
    execute(jobs, workers, lambda *_: said.append(pace.left()) or True, False, pace)
    assert len(said) == 3 and None not in said and said[-1] == 0
