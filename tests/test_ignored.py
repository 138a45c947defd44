"""What README's commands leave behind is nothing to commit, and nothing of the project is taken for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def ignored(place: str) -> bool:
    return subprocess.run(["git", "check-ignore", "-q", place], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    "place",
    ["mine/leaderboard.md", "mine/embedded/tiny/x.json", "report/index.html", "docs/page/index.html",
     "trade_off.png", ".cache/models/x",
     "results/rows/x.parquet", "results/tracking/x", "results/ablate/x.md", "results/running/x.json",
     "results/page/index.html"],
)  # fmt: skip
def test_what_commands_leave_behind_is_ignored(place: str):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    assert ignored(place)


def test_what_is_tracked_is_not_ignored():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    tracked = subprocess.run(["git", "ls-files", "-i", "-c", "--exclude-standard"], cwd=ROOT, capture_output=True)
    assert tracked.stdout == b""
    assert not ignored("bench/board/report/new.py")
