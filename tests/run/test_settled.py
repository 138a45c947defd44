"""A command whose cells are all done is seen to be that without planning, and only where a plan would say the same."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import plugins, registry
from bench.cli.main import main
from bench.run.provenance import ROOT
from bench.run.settled import code_now, settle, settled
from bench.store import files
from bench.store.record import Cell, Record

WORDS = {"model": "tiny", "data": "embedded", "settings": "", "methods": "retrain,target"}
CODE = "b" * 16


@dataclasses.dataclass(frozen=True)
class Planned:
    cell: Cell
    keys: dict[str, str]
    state: str = "done"


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Planned]:
    """Two cells that are done and were settled; of the second there are no scores."""
    monkeypatch.setattr("bench.run.settled.code_now", lambda: CODE)
    cells = [Cell("tofu:forget10", method, "tiny", "embedded", 0) for method in ("retrain", "fo-ga")]
    made = [Planned(cell, dict.fromkeys(("train", "measure", "score"), f"of {cell.method}")) for cell in cells]
    for of, status in zip(made, ("ok", "diverged"), strict=True):
        save(
            tmp_path,
            Record(cell=of.cell, status=status, keys=of.keys, identity={}, error="" if status == "ok" else "it is NaN"),
        )
    settle(tmp_path, WORDS, CODE, made)
    return made


def save(results: Path, record: Record) -> None:
    items = files.items_path(results, record.cell)
    files.save(results, record, None)
    if record.status == "ok":
        items.write_bytes(b"PAR1" + bytes(4) + b"PAR1")


def test_what_was_settled_is_known_with_its_ends(tmp_path: Path, planned: list[Planned]):
    assert settled(tmp_path, WORDS, CODE) == [
        (planned[0].cell, "done", ""),
        (planned[1].cell, "done", "diverged: it is NaN"),
    ]


@pytest.mark.parametrize(
    "change", ["other code", "other words", "other keys", "failed", "no record", "no items", "cut"]
)
def test_whatever_has_changed_is_planned_anew(tmp_path: Path, planned: list[Planned], change: str):
    cell, words, code = planned[0].cell, dict(WORDS), CODE
    record = files.find(tmp_path, cell)
    assert record is not None
    if change == "other code":
        code = "c" * 16
    elif change == "other words":
        words["methods"] = "target,retrain"
    elif change == "other keys":
        save(tmp_path, dataclasses.replace(record, keys={**record.keys, "score": "another"}))
    elif change == "failed":
        save(tmp_path, dataclasses.replace(record, status="failed", error="no memory"))
    elif change == "no record":
        files.record_path(tmp_path, cell).unlink()
    elif change == "no items":
        files.items_path(tmp_path, cell).unlink()
    else:
        next((tmp_path / "analysis").glob("plan-*")).write_text('{"code": "')
    assert settled(tmp_path, words, code) is None


@pytest.mark.parametrize("words", [{"model": "org/a-model"}, {"data": "hub"}, {"settings": "soul"}])
def test_what_can_change_without_the_code_is_never_settled(
    tmp_path: Path, planned: list[Planned], words: dict[str, str]
):
    settle(tmp_path, WORDS | words, CODE, planned)
    assert settled(tmp_path, WORDS | words, CODE) is None
    assert len([*(tmp_path / "analysis").iterdir()]) == 1


@pytest.mark.usefixtures("alone")
def test_with_a_plugin_nothing_is_settled(tmp_path: Path, planned: list[Planned]):
    own = tmp_path / "own_loss.py"
    own.write_text("")
    plugins.use([own])
    registry.scan.cache_clear()
    assert settled(tmp_path, WORDS, CODE) is None


def test_a_plan_is_kept_of_done_cells_and_unchanged_code_only(tmp_path: Path, planned: list[Planned]):
    other = WORDS | {"methods": "all"}
    settle(tmp_path, other, CODE, [planned[0], dataclasses.replace(planned[1], state="to do")])
    settle(tmp_path, other, "c" * 16, planned)  # edited while it was planned
    assert len([*(tmp_path / "analysis").iterdir()]) == 1


def test_every_file_of_code_counts(monkeypatch: pytest.MonkeyPatch):
    before = code_now()
    assert code_now() == before
    monkeypatch.setattr(sys, "version", "another Python")
    assert code_now() != before


def test_a_second_run_says_the_same_and_imports_no_torch(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """Committed cells stand in for a run: the first command plans, the second is a process of its own."""
    for name in ("retrain", "target"):
        for file in (ROOT / "results/embedded/tiny/tofu-forget01").glob(f"{name}.seed0.*"):
            place = tmp_path / "embedded/tiny/tofu-forget01"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    words = ["run", "--methods", "target", "--tasks", "tofu:forget01", "--results", str(tmp_path)]
    assert main(words) == 0
    first = capfd.readouterr()
    script = (
        "import json, sys; from bench.cli.main import main; status = main(sys.argv[1:]);"
        "print(json.dumps([status, [m for m in ('torch', 'transformers') if m in sys.modules]]))"
    )
    for more in ([], ["--dry-run"]):
        again = subprocess.run(
            [sys.executable, "-c", script, *words, *more], cwd=ROOT, capture_output=True, text=True, check=True
        )
        *lines, last = again.stdout.splitlines()
        assert json.loads(last) == [0, []]
        if not more:
            assert again.stderr == first.err
        else:
            assert lines == [f"done   tofu:forget01/{name}/tiny/embedded/seed0" for name in ("retrain", "target")]
