"""What breaks outside of a cell: a cache that is emptied, a full disk, a process that is gone."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors import SafetensorError

from bench.cli.cells import planned
from bench.errors import BenchError
from bench.run import grid, keeping, prepare
from bench.run.jobs import Job, Lost
from bench.run.plan import Planned, Request, model_folder, origin, prepared
from bench.store import files
from bench.train.loop import Curve


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """Models that are made in no time: nobody teaches them anything."""
    monkeypatch.setattr(prepare, "teach", lambda *_, **__: Curve())
    return Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache")


def test_models_that_the_cache_has_lost_are_made_again(request_: Request) -> None:
    wanted = prepared(request_, "tofu:forget01", "full", 0)
    base = origin(request_, "full", "tofu:forget01", 0)
    prepare.prepare(request_, base, lambda *_: None)
    prepare.prepare(request_, wanted, lambda *_: None)
    before = prepare.load_prepared(request_, wanted).model.state_dict()
    shutil.rmtree(request_.cache)
    after = prepare.load_prepared(request_, wanted).model.state_dict()
    assert all(bool((after[name] == value).all()) for name, value in before.items())
    assert model_folder(request_, base.key).is_dir()
    with pytest.raises(BenchError, match="is gone: the cache was emptied while a run needed it"):
        prepare.load(request_, model_folder(request_, "unlearned"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SafetensorError(f"Error while serializing: No space left (os error {errno.ENOSPC})"), "Free some space"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device. Free some space"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system. See that it is there and may be"),
    ],
)
def test_a_model_that_cannot_be_written_says_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(keeping.models, "save", fails)
    with pytest.raises(BenchError, match=says) as caught:
        keeping.keep(SimpleNamespace(), tmp_path / "cache" / "model", {})
    assert str(tmp_path / "cache" / "model") in str(caught.value) and "--cache DIR" in str(caught.value)
    assert not [*(tmp_path / "cache").iterdir()]


def test_a_cell_whose_process_is_gone_is_recorded_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tofu:forget01", "tiny", "embedded", "0", (), tmp_path / "results", tmp_path / "cache"]
    request, cells, *_ = planned("target", *words)
    (lost, other) = (c for c in cells if isinstance(c, Planned))

    def execute(jobs: Any, workers: Any, ended: Any, *_: Any) -> None:
        for job in jobs:
            ended(job, None, Lost("its process was killed twice") if job.arguments[1] is lost else BenchError("else"))

    monkeypatch.setattr(grid, "execute", execute)
    said: list[str] = []
    jobs = [Job(str(c.cell), lambda *_: None, (request, c)) for c in (lost, other)]
    assert not grid.run_jobs(request, jobs, 2, False, said.append, [])
    record = files.find(request.results, lost.cell)
    assert record is not None and record.status == "failed" and "killed twice" in record.error
    assert files.find(request.results, other.cell) is None
    assert "failed: its process was killed twice" in said[0]
