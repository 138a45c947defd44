"""Two runs of the same words, at once, in one folder: each cell and each model is made by one of them."""

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


def test_they_share_the_work_and_both_end_well(world: Path, tmp_path: Path) -> None:
    (tmp_path / "marks.py").write_text(MARKS)
    words = ["run", "--methods", "marks", "--tasks", "tofu:forget10", "--data", str(world), "--seeds", "0,1,2,3",
             "--plugin", "marks.py", "--workers", "2"]  # fmt: skip
    own = {**os.environ, "PYTHONPATH": str(ROOT), "MARKS": str(tmp_path / "marks")}
    runs = [
        subprocess.Popen([sys.executable, "-m", "bench", *words], cwd=tmp_path, env=own, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=600)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert Counter((tmp_path / "marks").read_text().split()) == dict.fromkeys("0123", 1)
    records = [*(tmp_path / "results").rglob("*.seed?.json")]
    assert len(records) == 12 and all(json.loads(path.read_text())["status"] == "ok" for path in records)
    assert not [*(tmp_path / "results" / ".claims").glob("*")] and not [*(tmp_path / ".cache" / ".claims").glob("*")]
