"""What a person meets who does not know the names: what there is, what is near, and which file is in the way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import registry
from bench.api import Score
from bench.cli.list import KINDS
from bench.cli.main import main
from bench.metrics._asked import ASKED_FOR
from bench.store import files
from bench.store.record import Cell, Record


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for method in ("retrain", "fo-npo", "simu-npo"):
        cell = Cell("tofu:forget10", method, "tiny", "embedded", 0)
        keys = dict.fromkeys(("train", "measure", "score"), method)
        files.save(tmp_path / "r", Record(cell, "diverged", keys, {}, scores={"rouge": Score(0.5)}), None)
    return tmp_path / "r"


def said(capsys, *words: str | Path, status: int = 0) -> tuple[str, str]:
    assert main([*map(str, words)]) == status
    told = capsys.readouterr()
    return told.out, told.err


def test_list_without_a_kind_says_what_there_is(capsys):
    lines = {line.split()[0]: line for line in said(capsys, "list")[0].splitlines()}
    assert tuple(lines) == KINDS
    for kind, line in lines.items():
        assert line.endswith(f"python -m bench list {kind}")
        if kind != "models":
            named = len(registry.names(kind[:-1])) + (len(ASKED_FOR) if kind == "probes" else 0)
            assert int(line.split()[1]) == named > 0


def test_methods_are_listed_by_family_a_line_each(capsys):
    lines = said(capsys, "list", "methods")[0].splitlines()
    assert lines[0] == f"# control: {registry.FAMILIES['control']}" and lines[1].split()[0] == "target"
    heading = lines.index(f"# preference: {registry.FAMILIES['preference']}")
    members = registry.families()["preference"]
    assert [line.split()[0] for line in lines[heading + 1 :][: len(members)]] == members and "fo-npo" in members
    assert {line.split()[0] for line in lines if line[0] != "#"} == set(registry.names("method"))


def test_attacks_are_listed_with_what_they_need_and_inject_as_their_classes_say(capsys):
    heading, *lines = said(capsys, "list", "attacks")[0].splitlines()
    assert heading.split("  ")[0] == "# name" and len(lines) == len(registry.names("attack"))
    for name, line in zip(registry.names("attack"), lines, strict=True):
        made, columns = registry.load("attack", name), re.split(r"  +", line)
        asked_only = getattr(made, "asked_only", False)
        when = "its name" if asked_only else "light, all" if made.light else "all"
        assert columns == [name, when, made.needs, made.injects, registry.find("attack", name).doc]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "fo-npoo"], "none has 'fo-npoo'. Did you mean 'fo-npo'"),
        (["show", "simu-npo/tofu:forget11"], "none has 'tofu:forget11'. Did you mean 'tofu:forget10'?"),
        (["show", "tiny"], "fits 3 cells"),
        (["show", "fo-npo/seed7"], "'seed7'. Did you mean 'seed0'?"),
        (["show", "xxxxxxxx"], "fits 0 cells of"),
        (["compare", "fo-npoo", "simu-npo"], "no cell of 'fo-npoo' on task tofu:forget10. Did you mean 'fo-npo'"),
        (["compare", "fo-npo", "simu"], "no cell of 'simu' on task tofu:forget10. Did you mean 'simu-npo'?"),
        (["compare", "fo-npo", "simu-npo", "--task", "tofu:forget01"], "Did you mean 'tofu:forget10'?"),
        (["compare", "fo-npo", "simu-npo", "--model", "tinny"], "Did you mean 'tiny'?"),
        (["compare", "fo-npo", "xxxxxxx"], "There are: fo-npo, retrain, simu-npo"),
    ],
)
def test_near_misses_are_answered(capsys, results: Path, words, says):
    assert says in said(capsys, *words, "--results", results, status=2)[1]


def test_a_file_in_the_place_of_a_directory(capsys, results: Path, tmp_path: Path):
    file = tmp_path / "afile"
    file.write_text("mine\n")
    run = ["run", "--methods", "target", "--tasks", "tofu:forget01"]
    for words, option, place in (
        ([*run, "--results", file, "--cache", tmp_path / "c"], "--results", file),
        ([*run, "--results", file / "deep" / "er", "--cache", tmp_path / "c"], "--results", file / "deep" / "er"),
        ([*run, "--results", tmp_path / "new", "--cache", file], "--cache", file),
        (["leaderboard", "--results", results, "--html", file], "--html", file),
    ):
        told = said(capsys, *words, status=1)[1]
        assert f"cannot write {place}: {file} is a file, not a directory: move it away, or name another place" in told
        assert f"with {option} DIR" in told and "File exists" not in told
    told = said(capsys, "leaderboard", "--results", results, "--output", file / "board.md", status=1)[1]
    assert f"{file} is a file, not a directory" in told
    told = said(capsys, "leaderboard", "--results", results, "--output", results, status=1)[1]
    assert f"{results} is a directory" in told
    assert file.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("npo+adamw+lora", "npo+adamw+lora: its scope needs peft, which is not installed. Type: python -m pip install "
         "'unlearning-bench[lora]'"),
        ("npo+adamw-8bit", "its optimizer needs bitsandbytes, which is not installed"),
    ],
)  # fmt: skip
def test_a_package_that_is_not_there_is_said_before_anything_is_made(method, says, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.cli.cells.find_spec", lambda name: None)
    words = ("run", "--methods", method, "--tasks", "tofu:forget01", "--results", tmp_path, "--cache", tmp_path)
    assert says in said(capsys, *words, status=2)[1]
    assert not any(tmp_path.iterdir())


def test_the_name_that_others_have_for_a_precision_is_read(capsys, monkeypatch):
    wanted = []
    monkeypatch.setattr("bench.cli.run.planned", lambda *_, precision, **__: wanted.append(precision) or 1 / 0)
    for word in ("bf16", "mixed"):
        with pytest.raises(ZeroDivisionError):
            main(["run", "--methods", "fo-npo", "--tasks", "tofu:forget10", "--precision", word])
    assert wanted == ["mixed", "mixed"]
    assert capsys.readouterr().err.count("bf16: taken as mixed") == 1
