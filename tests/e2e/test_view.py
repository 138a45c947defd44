"""A run that is followed: cells are seen while they train, their curves grow, and pages name them afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from bench.cli.main import main
from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as reply:
        return reply.read().decode()


@contextlib.contextmanager
def started(folder, *words: str):
    """A command as a user types it, ended with Ctrl-C if it has not ended by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()


def test_a_run_is_followed(tmp_path, world):
    (tmp_path / "results").mkdir()
    with started(tmp_path, "view", "--port", "0", "--no-browser") as view:
        url = next(line for line in view.stderr if line.startswith("following")).split(" on ")[1].split()[0]
        at_first = json.loads(get(f"{url}live.json"))
        assert at_first == {"version": 1, "running": [], "runs": [], "error": ""}
        assert "fo-npo" not in get(url)
        seen: dict[str, list[dict]] = {}
        runs = []
        words = ["--methods", "fo-npo", "--tasks", "tofu:forget10", "--data", str(world), "--workers", "1"]
        # So many epochs that the curve is looked at several times while it is made.
        with started(tmp_path, "run", *words, "--set", "fo-npo.epochs=400") as run:
            while run.poll() is None:
                state = json.loads(get(f"{url}live.json"))
                assert state["error"] == "" and "stopped" not in state
                runs += state["runs"]
                for job in state["running"]:
                    seen.setdefault(job["cell"]["method"], []).append(job)
                time.sleep(0.1)
        assert run.returncode == 0
        steps = [len(job["curve"].get("step", [])) for job in seen["fo-npo"]]
        assert steps == sorted(steps) and len({*steps}) > 2 and max(steps) <= 200, steps
        last = seen["fo-npo"][-1]
        assert {"forget", "retain", "trace step", "trace forget probability"} <= set(last["curve"])
        assert {"unlearning"} <= {job["stage"] for job in seen["fo-npo"]}
        assert {"target", "retrain"} <= set(seen)  # they are taught in about a second, too short for a curve
        assert runs and {run["steps"] for run in runs} == {6} and runs[-1]["step"] >= 3
        end = time.monotonic() + 60
        while "fo-npo" not in get(url) and time.monotonic() < end:
            time.sleep(0.2)
        assert "fo-npo" in get(url)
        state = json.loads(get(f"{url}live.json"))
        assert state["version"] > 1 and (state["running"], state["runs"], state["error"]) == ([], [], "")
    assert view.returncode == 0
    assert not (tmp_path / "results" / "running").exists()
    record = next((tmp_path / "results").glob("*/*/*/fo-npo.seed0.json")).read_text()
    assert not {"running", "since", "started"} & set(json.loads(record))


def test_an_interrupted_run_leaves_nothing_running(tmp_path, world):
    words = ["--methods", "fo-npo", "--tasks", "tofu:forget10", "--data", str(world), "--workers", "2"]
    with started(tmp_path, "run", *words) as run:
        end = time.monotonic() + 120
        while not list(tmp_path.glob("results/running/target*.json")) and time.monotonic() < end:
            time.sleep(0.05)
        assert run.poll() is None, "it was to be interrupted while it teaches"
    assert run.returncode == 130
    assert not (tmp_path / "results" / "running").exists()


def test_models_that_are_only_prepared_have_no_results_to_write_to(tmp_path, world, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "--tasks", "tofu:forget10", "--data", str(world), "--workers", "1"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [".cache"]
