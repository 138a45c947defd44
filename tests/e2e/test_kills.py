"""A run that is killed at any moment, over and over, loses nothing that was finished and ends where others end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.store import files
from tests.e2e.conftest import ROOT, write_world

pytestmark = pytest.mark.slow
KILLS = 50
WORDS = ("run", "--methods", "fo-ga,fo-npo,o3", "--tasks", "tofu:forget10", "--seeds", "0,1,2,3", "--workers", "2")


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    log = (folder / "log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *WORDS, "--checkpoint-minutes", "0.002", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip


def finished(results: Path) -> dict[Path, bytes]:
    """Every record by its place, each of them readable and with whole items."""
    if not results.is_dir():
        return {}
    found = files.records(results, lambda complaint: pytest.fail(complaint))
    assert all(record.status == "ok" for record in found.values())
    return {(place := files.record_path(results, cell)): place.read_bytes() for cell in found}


def scores(results: Path) -> dict[str, object]:
    return {str(place.relative_to(results)): json.loads(text)["scores"] for place, text in finished(results).items()}


def test_fifty_kills_lose_nothing(tmp_path: Path) -> None:
    """With two workers: the whole run at once, or its first process, whose workers have to see for themselves."""
    data = ("--data", str(write_world(tmp_path / "world" / "tofu").parent))
    folders = {name: tmp_path / name for name in ("killed", "undisturbed")}
    for folder in folders.values():
        folder.mkdir()
    draw, results, before = random.Random(0), folders["killed"] / "results", dict[Path, bytes]()
    for _ in range(KILLS):
        run = start(folders["killed"], *data)
        time.sleep(draw.uniform(1, 6))
        if draw.random() < 0.5:
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
        run.wait()
        now = finished(results)
        assert all(now[place] == text for place, text in before.items()), "a finished cell was lost or run twice"
        before = now
    for folder in folders.values():
        run = start(folder, *data)
        assert run.wait(timeout=600) == 0, (folder / "log").read_text()[-2000:]
    now = finished(results)
    assert len(now) == 20 and all(now[place] == text for place, text in before.items())
    assert scores(results) == scores(folders["undisturbed"] / "results")
    assert not [*(folders["killed"] / ".cache" / "unfinished").glob("*")], "states of trainings that have ended"
