"""Two runs of the same words, at once, in one folder or at one URL: each cell and each model is made by one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.slow

MARKS = '''
"""A method that leaves a mark each time that it runs."""
import os
from bench.api import transform

@transform("marks", "leaves a mark")
def marks(context):
    with open(os.environ["MARKS"], "a") as file:
        file.write(f"{context.seed}\\n")
    return context.lm
'''


def ends(words: list[str], places: list[tuple[Path, dict[str, str]]]) -> None:
    """Start a run in each folder with each environment at once, and see all of them end well."""
    runs = [
        subprocess.Popen([sys.executable, "-m", "bench", *words], cwd=folder, env=own, stderr=subprocess.PIPE)
        for folder, own in places
    ]
    said = [run.communicate(timeout=600)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), said


@pytest.fixture
def words(world: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "marks.py").write_text(MARKS)
    return ["run", "--methods", "marks", "--tasks", "tofu:forget10", "--data", str(world), "--seeds", "0,1,2,3",
            "--plugin", str(tmp_path / "marks.py")]  # fmt: skip


def test_they_share_the_work_and_both_end_well(words: list[str], tmp_path: Path) -> None:
    own = {**os.environ, "PYTHONPATH": str(ROOT), "MARKS": str(tmp_path / "marks")}
    ends([*words, "--workers", "2"], [(tmp_path, own)] * 2)
    assert Counter((tmp_path / "marks").read_text().split()) == dict.fromkeys("0123", 1)
    records = [*(tmp_path / "results").rglob("*.seed?.json")]
    assert len(records) == 12 and all(json.loads(path.read_text())["status"] == "ok" for path in records)
    assert not [*(tmp_path / "results" / ".claims").glob("*")] and not [*(tmp_path / ".cache" / ".claims").glob("*")]


def test_so_do_two_machines_that_have_a_url_in_common(words: list[str], tmp_path: Path) -> None:
    own = {**os.environ, "PYTHONPATH": str(ROOT), "MARKS": str(tmp_path / "marks")}
    machines = [(tmp_path / name, {**own, "XDG_CACHE_HOME": str(tmp_path / name)}) for name in ("a", "b")]
    for folder, _ in machines:
        folder.mkdir()
    afar = tmp_path / "afar"
    ends([*words, "--workers", "1", "--results", f"file://{afar}"], machines)
    assert Counter((tmp_path / "marks").read_text().split()) == dict.fromkeys("0123", 1)
    assert len([*afar.glob("embedded*/**/*.seed?.json"), *afar.glob("files/**/*.seed?.json")]) == 12
    assert not [*afar.rglob(".claims/*")], "no lease is left"
