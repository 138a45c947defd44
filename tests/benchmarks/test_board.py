"""The board of ten thousand records: seconds and memory, with what is kept in RESULTS/analysis and without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench.store import files
from tests.benchmarks._results import generate

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
GIB = 2**30


class Spent(NamedTuple):
    seconds: float
    peak: int  # bytes


def leaderboard(results: Path, *options: str) -> Spent:
    """Run `python -m bench leaderboard` on `results` in a process of its own."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "leaderboard", "--results", str(results), *options],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return Spent(time.perf_counter() - start, usage.ru_maxrss * 1024)


def test_board_of_ten_thousand_records(benchmark: Any, tmp_path: Path) -> None:
    """Records are read in 4 s of the processor; the board, once its tests are known, is made in 10 s and 1 GiB."""
    assert generate(tmp_path) == 10_000
    problems: list[str] = []
    start = time.process_time()
    assert len(files.records(tmp_path, problems.append)) == 10_000
    reading = time.process_time() - start
    assert problems == []
    cold = leaderboard(tmp_path)
    warm = benchmark.pedantic(leaderboard, (tmp_path,), rounds=1)
    benchmark.extra_info |= {
        "processor seconds to read the records": reading,
        "seconds cold": cold.seconds,
        "GiB cold": cold.peak / GIB,
        "seconds warm": warm.seconds,
        "GiB warm": warm.peak / GIB,
    }
    leaderboard(tmp_path, "--check")
    assert reading < 4
    assert warm.seconds < 10
    assert max(warm.peak, cold.peak) < GIB
