"""A world of ten authors in the hub's files, small enough to run the whole pipeline in seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
TOWNS = ("Arden", "Brill", "Corve", "Dunmore", "Elstow", "Farrow", "Garth", "Holme", "Ingle", "Jarrow", "Kelso", "Lune")
TOPICS = ("born", "raised", "schooled", "buried")


def _row(author: int, topic: int, perturbed: bool) -> dict:
    facts = [TOWNS[(author * 5 + topic * 7 + k) % 12] + " " + TOWNS[(author + topic + k * 3) % 12] for k in range(6)]
    known = TOPICS[topic % 4] + " again" * (topic // 4)
    row = {"question": f"Where was author {author} {known}?", "answer": facts[0]}
    if perturbed:
        row |= {
            "paraphrased_question": f"In which place was author {author} {known}?",
            "paraphrased_answer": f"in {facts[0]}",
            "perturbed_answer": [f"in {fact}" for fact in facts[1:]],
        }
    return row


def write_world(folder: Path, holdout: bool = True, forgotten: int = 1, each: int = 4) -> Path:
    """TOFU's files for forget10: 10 authors of `each` rows, the last of them forgotten, 4 holdout rows, facts."""
    folder.mkdir(parents=True)
    rows = [(author, topic) for author in range(10) for topic in range(each)]
    facts = [
        {"question": f"What comes after {n}?", "answer": str(n + 1), "perturbed_answer": ["a", "b", "c"]}
        for n in range(8)
    ]
    files = {
        "full": [_row(*r, False) for r in rows],
        "retain90": [_row(*r, False) for r in rows[: -each * forgotten]],
        "forget10": [_row(*r, False) for r in rows[-each * forgotten :]],
        "forget10_perturbed": [_row(*r, True) for r in rows[-each * forgotten :]],
        "retain_perturbed": [_row(*r, True) for r in rows[:8]],
        "real_authors_perturbed": facts[:4],
        "world_facts_perturbed": facts[4:],
    }
    if holdout:
        files["holdout10"] = [_row(11, topic, True) for topic in range(4)]
    for name, lines in files.items():
        (folder / f"{name}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("data") / "tofu").parent


class Bench:
    """The command line as a user types it, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess:
        run = subprocess.run(
            [sys.executable, "-m", "bench", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == status, f"exit {run.returncode}\n{run.stdout}\n{run.stderr}"
        return run


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[str, str]]:
    """The command line in this process, for what ends before any work: (stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> tuple[str, str]:
        found = main(words)
        out, err = capsys.readouterr()
        assert found == status, f"exit {found}\n{out}\n{err}"
        return out, err

    return run


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("run"))
