"""Workers are forked from a server that has read the code, where that is safe, and know what the process knows now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from bench.cli.cells import planned
from bench.errors import UsageError
from bench.run import workers
from bench.run.executors import execute
from bench.run.jobs import Job
from bench.run.provenance import ROOT

forks = pytest.mark.skipif(not workers._can_fork(), reason="workers are started anew here")


def look(name, report):
    """What a worker knows before it does anything, and that it can compute with more threads than one."""
    known = "bench.run.cell" in sys.modules
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    wide = torch.ones(600, 600)
    product = float((wide @ wide).sum())
    torch.set_num_threads(threads)
    return known, threads, product, os.environ.get("OF_NOW"), os.environ["TOKENIZERS_PARALLELISM"]


@forks
def test_a_forked_worker_has_the_code_and_the_environment_of_now(monkeypatch: pytest.MonkeyPatch):
    handler = signal.getsignal(signal.SIGINT)
    workers.warm_up()
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.setenv("OF_NOW", "set after the server was started")
    found = {}
    names = ("alone", "a", "b")
    jobs = [Job(n, look, (n,), frozenset({"alone"} - {n}), alone=n == "alone") for n in names]
    execute(jobs, 2, lambda job, result, error: not found.update({job.name: error or result}), stop_at_failure=False)
    cores = workers.usable_cores()
    threads = {"alone": cores, "a": max(1, cores // 2), "b": max(1, cores // 2)}
    assert found == {n: (True, threads[n], 600.0**3, "set after the server was started", "false") for n in names}


@forks
def test_an_interrupt_is_not_the_servers(monkeypatch: pytest.MonkeyPatch):
    workers.warm_up()
    status = Path(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read_text()
    ignored = int(next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1], 16)
    assert ignored >> (signal.SIGINT - 1) & 1


KILLED = """
import sys
from bench.run import workers
from bench.run.executors import execute
from bench.run.jobs import Job
from bench.run.provenance import ROOT
workers.READ = ()
jobs = [Job(name, sleep, (f"{sys.argv[1]}/{name}",)) for name in "ab"]
execute(jobs, 2, lambda *_: True, False)
"""


def sleep(path, report):
    Path(path).write_text(str(os.getpid()))
    time.sleep(120)


@pytest.mark.skipif(sys.platform != "linux", reason="how the system says that a process is gone")
def test_workers_end_with_the_run_that_was_killed(tmp_path: Path):
    script = "from tests.run.test_workers import sleep\n" + KILLED
    run = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT)
    until = time.monotonic() + 120
    while not all((tmp_path / name).exists() and (tmp_path / name).read_text() for name in "ab"):
        assert time.monotonic() < until and run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    left = {int((tmp_path / name).read_text()) for name in "ab"}
    while left:
        assert time.monotonic() < until
        left = {pid for pid in left if _lives(pid)}
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("where", ["macOS", "beside an accelerator"])
def test_nothing_is_forked_where_that_is_not_safe(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if where == "macOS":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setattr(workers, "_ACCELERATORS", (str(tmp_path),))
    monkeypatch.setattr(forkserver, "ensure_running", lambda: pytest.fail("a server was started"))
    workers.warm_up()
    assert workers.context().get_start_method() == "spawn"


def test_workers_get_ready_for_words_that_are_right_only(tmp_path: Path):
    started: list[str] = []
    words = ["tofu:forget01", "tiny", "embedded", "0", (), tmp_path, tmp_path]
    with pytest.raises(UsageError, match="no method 'tarket'"):
        planned("tarket", *words, meanwhile=lambda: started.append("wrong"))
    planned("target", *words, meanwhile=lambda: started.append("right"))
    assert started == ["right"]
