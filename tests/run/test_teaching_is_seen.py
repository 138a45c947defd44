"""The curve of a model that is being taught is what a looker-on reads while it is."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.run import prepare
from bench.run.plan import Request, prepared
from bench.store import live
from bench.train.loop import Curve


def test_the_file_of_a_model_that_is_taught_has_its_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache")
    wanted = prepared(request, "tofu:forget01", "full", 0)
    seen: list[dict[str, Any]] = []

    def teach(*_: Any, curve: Curve, progress: Any, **__: Any) -> Curve:
        curve.lines.append({"step": 1.0, "loss": 2.5})
        progress("any name", 1, 4)
        until = time.monotonic() + 10
        while time.monotonic() < until and not (seen and seen[-1]["curve"]):
            seen.extend(live.running(request.results))
        return curve

    monkeypatch.setattr(live, "BEAT", 0.01)
    monkeypatch.setattr(prepare, "load_prepared", lambda *_: SimpleNamespace())
    monkeypatch.setattr(prepare, "teach", teach)
    monkeypatch.setattr(prepare, "keep", lambda *_: None)
    prepare.prepare(request, wanted, lambda *_: None)
    last = seen[-1]
    assert last["curve"]["loss"] == [2.5] and (last["stage"], last["step"], last["steps"]) == ("teaching", 1, 4)
    assert last["cell"]["method"] == "target" and not live.running(request.results)
