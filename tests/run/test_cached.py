"""The cache: what is in it, what results need of it, and what goes first where it is too large."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.run import cached
from bench.run.cached import GB
from bench.store import files
from bench.store.record import Cell, Record


def model(cache: Path, key: str, about: dict, size: int = 100, used: float = 0.0, weights: bool = True) -> Path:
    folder = cache / "models" / key
    folder.mkdir(parents=True)
    (folder / "bench.json").write_text(json.dumps(about))
    if weights:
        (folder / "model.safetensors").write_bytes(b"0" * size)
    os.utime(folder, (used, used))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A base, a target that a cell started from, one that none did, and models of three cells."""
    made = tmp_path / "cache"
    model(made, "base", {"made": "base", "curve": {}})
    for key in ("target", "stray"):
        model(made, key, {"made": "full", "curve": {}})
    for n, key in enumerate(("old", "newer", "newest")):
        model(made, key, {"curve": {}, "cost": {}}, used=1000.0 + n)
    model(made, "elsewhere", {"curve": {}}, weights=False)
    (made / "models" / ".half").mkdir()
    (made / "unfinished").mkdir()
    for key in ("target", "begun"):
        (made / "unfinished" / f"{key}.safetensors").write_bytes(b"0" * 10)
    (made / "attribution-k.npz").write_bytes(b"0" * 10)
    return made


@pytest.fixture
def results(tmp_path: Path) -> Path:
    where = tmp_path / "results"
    for seed, key in enumerate(("old", "newest")):
        cell = Cell("tofu:forget10", "fo-ga", "tiny", "embedded", seed)
        files.save(where, Record(cell, "failed", {"train": key}, {"start": "target"}, error="x"), None)
    return where


def test_kinds(cache: Path) -> None:
    kinds = {each.key: each.kind for each in cached.kept(cache) if each.path.parent.name == "models"}
    assert kinds == {
        "base": "base", "target": "prepared", "stray": "prepared", "elsewhere": "checkpoint",
        "old": "unlearned", "newer": "unlearned", "newest": "unlearned",
    }  # fmt: skip
    assert sum(each.kind == "unfinished" for each in cached.kept(cache)) == 2


def test_what_no_result_needs_goes_and_nothing_else(cache: Path, results: Path, capsys) -> None:
    words = ("cache", "--cache", str(cache), "--results", str(results))
    assert main([*words]) == 0
    assert "unlearned" in capsys.readouterr().out and (cache / "models" / "stray").is_dir()
    assert main([*words, "--prune"]) == 0
    assert {path.name for path in (cache / "models").iterdir()} == {"base", "target", "old", "newest", ".half"}
    assert [path.name for path in (cache / "unfinished").iterdir()] == ["begun.safetensors"]
    assert (cache / "attribution-k.npz").is_file()


def test_unlearned_models_go_in_the_order_of_their_last_use_until_it_fits(cache: Path) -> None:
    total = sum(each.bytes for each in cached.kept(cache))
    assert cached.trim(cache, total) == "" and (cache / "models" / "old").is_dir()
    assert cached.trim(cache, total - 50) == ""
    assert {each.key for each in cached.kept(cache) if each.kind == "unlearned"} == {"newer", "newest"}
    said = cached.trim(cache, 0.5 * GB * 1e-9, at_work={"newest"})
    assert {each.key for each in cached.kept(cache) if each.kind == "unlearned"} == {"newest"}
    assert "--cache-limit" in said and "bench cache --prune" in said
    assert {"base", "target", "stray"} <= {each.key for each in cached.kept(cache)}


def test_a_model_that_is_loaded_counts_as_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.run import prepare
    from bench.run.plan import Request

    monkeypatch.setattr(prepare.models, "load", lambda *_: None)
    prepare.load(Request("tiny", "embedded", cache, cache), cache / "models" / "old")
    total = sum(each.bytes for each in cached.kept(cache))
    cached.trim(cache, total - 50)
    assert (cache / "models" / "old").is_dir() and not (cache / "models" / "newer").is_dir()


def test_no_cache_is_said(tmp_path: Path, capsys) -> None:
    assert main(["cache", "--cache", str(tmp_path / "none"), "--results", str(tmp_path)]) == 2
    assert "no such directory" in capsys.readouterr().err
