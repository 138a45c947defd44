"""The picture of the house is what the imports say, and the files that its page names are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_picture_and_list_are_what_the_imports_say(script):
    assert script.main(["--check"]) == 0


def test_files_that_the_page_names_are_there(script):
    named = re.findall(r"`((?:bench|methods|tasks|tests)/[\w./]+)`", script.PAGE.read_text(encoding="utf-8"))
    missing = [name for name in named if not (ROOT / name).exists() and "NAME" not in name]
    assert len(named) > 30 and not missing


def test_every_room_says_what_comes_in_what_goes_out_and_where_to_start():
    for path in (ROOT / "bench").glob("*/__init__.py"):
        text = path.read_text(encoding="utf-8")
        assert all(word in text for word in ("In: ", "Out: ", "Start at `")), path
        start = re.search(r"Start at `([\w.]+)`", text)
        assert (path.parent / start[1]).is_file(), path


def house(root: Path, **sources: str) -> Path:
    for name, source in sources.items():
        path = root / "bench" / name / "__init__.py"
        path.parent.mkdir(parents=True)
        path.write_text(source)
    (root / "bench" / "__init__.py").touch()
    return root


def test_floors_stand_above_what_they_import_and_hidden_imports_count(script, tmp_path):
    hidden = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bench.low import x\n"
    graph = script.house(house(tmp_path, low="", middle=hidden, high="def f():\n    import bench.middle, bench.low\n"))
    assert graph["high"] == {"low", "middle"} and script.reduced(graph)["high"] == {"middle"}
    assert [script.floors(graph)[name] for name in ("low", "middle", "high")] == [0, 1, 2]


def test_rooms_that_import_each_other_cannot_be_drawn(script, tmp_path):
    graph = script.house(house(tmp_path, a="import bench.b", b="def f():\n    from bench.a import x\n"))
    with pytest.raises(script.Circle, match="a -> b -> a"):
        script.floors(graph)
