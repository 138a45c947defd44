"""A record says what code made it: what no commit holds is named, and what is no code does not count."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.api import Score
from bench.board.show import describe
from bench.run.provenance import ROOT, code_digest, own_code, provenance
from bench.run.resolve import resolve
from bench.store.record import Cell, Record


def git(folder: Path, *words: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A committed package of one method, in a folder of a larger repository."""
    root = tmp_path / "outer" / "package"
    for name in ("bench/__init__.py", "methods/npo.py", "tasks/tofu.py", "pyproject.toml", "README.md", "docs/a.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1\n")
    (root / ".gitignore").write_text("__pycache__/\nmethods/secret.py\n")
    git(tmp_path / "outer", "init", "-q")
    git(tmp_path / "outer", "add", "-A")
    git(tmp_path / "outer", "commit", "-q", "-m", "all")
    return root


def test_a_clean_tree_is_its_commit(tree: Path):
    found = provenance(tree)
    assert found["commit"] == git(tree, "rev-parse", "HEAD").strip()
    assert (found["dirty"], found["changed"], len(found["code"])) == (False, [], 16)


def test_what_is_no_code_does_not_count(tree: Path):
    before = provenance(tree)
    (tree / "README.md").write_text("better\n")
    (tree / "docs" / "new.md").write_text("new\n")
    (tree / "notes.py").write_text("outside of the rooms\n")
    (tree / "methods" / "__pycache__").mkdir()
    (tree / "methods" / "__pycache__" / "npo.pyc").write_text("")
    assert provenance(tree) == before


@pytest.mark.parametrize("name", ["methods/npo.py", "methods/new.py", "methods/secret.py", "tasks/deep/new.py"])
def test_code_that_no_commit_holds_is_named(tree: Path, name: str):
    before = provenance(tree)
    (tree / name).parent.mkdir(exist_ok=True)
    (tree / name).write_text("2\n")
    found = provenance(tree)
    assert (found["dirty"], found["changed"], found["commit"]) == (True, [name], before["commit"])
    assert found["code"] != before["code"]
    git(tree, "add", "-f", name)
    assert provenance(tree)["changed"] == [name], "staged is not committed"
    git(tree, "commit", "-q", "-m", "now it is")
    assert provenance(tree) == {
        **found,
        "dirty": False,
        "changed": [],
        "commit": git(tree, "rev-parse", "HEAD").strip(),
    }


def test_a_file_that_is_gone_and_a_long_list(tree: Path):
    (tree / "methods" / "npo.py").unlink()
    assert provenance(tree)["changed"] == ["methods/npo.py"]
    for n in range(12):
        (tree / "tasks" / f"t{n:02}.py").touch()
    assert provenance(tree)["changed"][-2:] == ["tasks/t08.py", "and 3 more"]


def test_a_package_that_git_does_not_keep_is_known_by_its_code(tree: Path, tmp_path: Path):
    """As in an environment inside somebody's repository: that repository's commit says nothing of this package."""
    inside = tree / "venv" / "site-packages"
    shutil.copytree(tree / "bench", inside / "bench")
    shutil.copytree(tree / "methods", inside / "methods")
    shutil.copytree(tree / "tasks", inside / "tasks")
    assert provenance(inside) == {"commit": "", "dirty": False, "changed": [], "code": provenance(tree)["code"]}


def test_without_git(tree: Path, monkeypatch: pytest.MonkeyPatch):
    known = provenance(tree)
    monkeypatch.setenv("PATH", "")
    assert provenance(tree) == {"commit": "", "dirty": False, "changed": [], "code": known["code"]}


def test_the_code_of_this_package_has_a_digest():
    assert code_digest(ROOT) == code_digest(ROOT)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"commit": "abc", "dirty": False, "changed": [], "code": "1234"}, "at commit abc\n"),
        ({"commit": "abc", "dirty": True}, "at commit abc, with code that it does not hold\n"),
        (
            {"commit": "abc", "dirty": True, "changed": ["methods/new.py", "bench/api.py"], "code": "1234"},
            "at commit abc, with code that it does not hold: methods/new.py, bench/api.py\n",
        ),
        ({"commit": "", "dirty": False, "changed": [], "code": "1234"}, "at no commit: git does not keep this code\n"),
    ],
)
def test_show_says_what_code_it_was(tmp_path: Path, made: dict, says: str):
    cell = Cell("tofu:forget10", "new", "tiny", "embedded", 0)
    keys = dict.fromkeys(("train", "measure", "score"), "k")
    shown = describe(Record(cell, "ok", keys, {}, scores={"rouge": Score(0.5)}, environment=made), tmp_path)
    assert says in shown
    if "code" in made:
        assert "1234" in shown and "[" not in shown.split("environment")[1].split("keys")[0]


def test_only_the_files_of_the_cell_make_it_dirty(tree: Path):
    """Somebody's untracked method makes its own cells dirty, not those of methods that do not use it."""
    (tree / "methods" / "mine.py").write_text("x = 1\n")
    assert provenance(tree, {"methods/npo.py"})["dirty"] is False
    assert provenance(tree, {"methods/mine.py"})["changed"] == ["methods/mine.py"]
    (tree / "bench" / "keys.py").write_text("y = 1\n")
    assert provenance(tree, {"methods/npo.py"})["changed"] == ["bench/keys.py"]


def test_the_files_of_a_cell_are_its_parts_and_its_task():
    own = own_code(resolve("simu-npo@m=10"), "tofu:forget10")
    assert {"methods/simu.py", "methods/npo.py", "methods/sophia.py", "tasks/tofu.py"} <= own
    assert "methods/graddiff.py" not in own and "tasks/lume.py" not in own
