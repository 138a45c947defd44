"""The board of ten thousand records and of the committed ones: seconds and memory, with what is kept and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.compare.robustness import robustness
from bench.store import attacked, files
from tests.benchmarks._results import generate
from tests.benchmarks._timing import Clock, Spent

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30


class Made(NamedTuple):
    """A board that was made: the seconds of its process, and its largest memory in bytes."""

    spent: Spent
    peak: int


def leaderboard(results: Path, *options: str) -> Made:
    """Run `python -m bench leaderboard` on `results` in a process of its own."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "leaderboard", "--results", str(results), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    spent = Spent(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
    return Made(spent, usage.ru_maxrss * 1024)


def test_board_of_ten_thousand_records(benchmark: Any, clock: Clock, tmp_path: Path) -> None:
    """Records are read in 4 s of the processor; the board is made in 60 s and, once its tests are known, in 10 s; in
    1 GiB."""
    assert generate(tmp_path) == 10_000
    problems: list[str] = []
    assert len(clock.time("reading", lambda: files.records(tmp_path, problems.append))) == 10_000
    assert problems == []
    cold = leaderboard(tmp_path)
    warm = benchmark.pedantic(leaderboard, (tmp_path,), rounds=1)
    clock.add("cold", cold.spent)
    clock.add("warm", warm.spent)
    benchmark.extra_info |= {"GiB cold": cold.peak / GIB, "GiB warm": warm.peak / GIB}
    leaderboard(tmp_path, "--check")
    assert max(warm.peak, cold.peak) < GIB
    clock.only_if_quiet()
    assert clock.cpu("reading") < 4
    assert cold.spent.wall < 60
    assert warm.spent.wall < 10


def test_board_of_the_committed_results(benchmark: Any, clock: Clock, tmp_path: Path) -> None:
    """Made in 10 s with nothing kept; it is the committed one."""
    results = tmp_path / "results"
    shutil.copytree(ROOT / "results", results, ignore=shutil.ignore_patterns("analysis"))
    cold = benchmark.pedantic(leaderboard, (results,), rounds=1)
    clock.add("cold", cold.spent)
    clock.add("warm", leaderboard(results).spent)
    assert (results / "leaderboard.md").read_bytes() == (ROOT / "leaderboard.md").read_bytes()
    clock.only_if_quiet()
    assert cold.spent.wall < 10


def test_what_attacks_bring_back_of_a_line_costs_two_milliseconds(clock: Clock) -> None:
    """Of the largest committed table; every writing of the board counts it anew."""
    place = ("embedded", "tiny@deployable", "tofu:forget10")
    records = {c: r for c, r in files.records(ROOT / "results", print).items() if (c.data, c.model, c.task) == place}
    found = attacked.every(ROOT / "results", records, pytest.fail)
    for _ in range(5):
        rows = len(clock.time("rows", lambda: robustness(records, found, 0.05)))
    assert rows > 300
    clock.only_if_quiet()
    assert clock.cpu("rows") / rows < 2e-3
