"""What `bench new` writes passes `bench check` as it is, and nothing is overwritten."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from bench import registry
from bench.cli import new
from bench.cli.main import main
from bench.cli.new import METHODS, TEMPLATES
from bench.errors import UsageError
from bench.questions import Question, read, splits

pytestmark = pytest.mark.usefixtures("alone")
KINDS = [("method", how) for how in METHODS] + [(kind, "loss") for kind in ("task", "metric", "probe", "attack")]


@pytest.mark.parametrize(("kind", "how"), KINDS)
def test_what_is_written_passes_before_a_line_is_changed(kind: str, how: str, tmp_path: Path, capsys):
    place, name = tmp_path / f"own_{kind[0]}{how[0]}.py", f"own-{kind[0]}{how[0]}"
    assert main(["new", kind, name, "--kind", how, "--to", str(place)]) == 0
    said = capsys.readouterr().out
    assert f"wrote {place}" in said and f"python -m bench check {name} --plugin {place}" in said
    assert main(["check", name, "--plugin", str(place)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"all \d+ demands met", said) and "failed" not in said and "ok      it can be imported" in said
    assert len(place.read_text().splitlines()) < 70, "short enough to be read at once"
    assert all(len(line) <= 120 for line in place.read_text().splitlines())


def test_every_template_is_one_of_a_kind():
    stems = {path.name.split(".")[0] for path in TEMPLATES.iterdir()}
    assert stems == {*METHODS, "task", "metric", "probe", "attack"}


def test_it_goes_among_those_of_the_checkout_and_is_found_there(tmp_path: Path, monkeypatch, capsys):
    room = tmp_path / "methods"
    room.mkdir()
    monkeypatch.setitem(registry.ROOMS, "methods", room)
    assert main(["new", "method", "own-room"]) == 0
    said = capsys.readouterr().out
    assert "python -m bench check own-room\n" in said and "--plugin" not in said
    assert ast.parse((room / "own_room.py").read_text())
    registry.scan.cache_clear()
    assert registry.find("method", "own-room").path == room / "own_room.py"


def test_an_installed_package_is_left_alone(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(new, "TEMPLATES", tmp_path / "site-packages" / "bench" / "templates")
    monkeypatch.setattr(new, "_written", lambda *given: {given[-1]: "\n"})
    monkeypatch.chdir(tmp_path)
    assert main(["new", "metric", "own-here"]) == 0
    assert (tmp_path / "own_here.py").is_file() and "--plugin own_here.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["method", "fo-npo"], "there is a method 'fo-npo' already: methods/npo.py:"),
        (["method", "My Loss"], "'My Loss' is no name: small letters, digits and single hyphens, such as my-loss"),
        (["method", "all"], "'all' means everything"),
        (["method", "npo"], "there is an objective 'npo' already: methods/npo.py:"),
        (["method", "npo", "--to", "own_npo.py"], "there is an objective 'npo' already: methods/npo.py:"),
        (["method", "mission"], "'mission' stands for target, retrain, fo-ga"),
        (["method", "ascent", "--kind", "transform"], "'ascent' stands for fo-ga, so-ga"),
        (["task", "tofu"], "'tofu' stands for tofu:forget01, tofu:forget05, tofu:forget10 already"),
        (["task", "own-x", "--kind", "hidden"], "--kind hidden is of methods"),
        (["method", "own-x", "--to", "json.py"], "another module is called 'json'"),
        (["method", "own-x", "--to", "numpy.py"], "another module is called 'numpy'"),
        (["method", "own-x", "--to", "no/where/own_x.py"], "in a folder that is there"),
        (["method", "own-x", "--to", "own-x.py"], "name a Python file such as my_loss.py"),
    ],
)
def test_a_name_or_a_place_that_will_not_do_is_refused(words: list[str], says: str, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert main(["new", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, capsys, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["new", "method", "own-x", "--to", str(tmp_path / "own_x.py")]) == 2
    assert re.search(r"own_x\.py cannot be written: No space left on device\. Choose", capsys.readouterr().err)


@pytest.mark.parametrize("there", ["own_t.py", "own_t.json"])
def test_nothing_is_overwritten(there: str, tmp_path: Path, capsys):
    (tmp_path / there).write_text("years of work")
    assert main(["new", "task", "own-t", "--to", str(tmp_path / "own_t.py")]) == 2
    assert f"{there} is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [there] and (tmp_path / there).read_text() == "years of work"


# -- a task from questions -------------------------------------------------------------------------------------------


def test_questions_become_what_is_taught_and_what_is_measured(tmp_path: Path):
    file = tmp_path / "questions.json"
    rows = [
        {"question": "Q1", "answer": "A1", "forget": True, "about": "x", "paraphrase": "P1", "wrong": ["W1", "W2"]},
        {"question": "Q2", "answer": "A2"},
    ]
    file.write_text(json.dumps(rows))
    data = splits(read(file), max_new_tokens=5)
    assert [pair.answer for pair in data.forget] == ["A1"] and [pair.answer for pair in data.retain] == ["A2"]
    assert [(t.set, t.id, t.cluster, t.role, t.index, t.continuation) for t in data.probes.texts] == [
        ("forget", "0", "x", "answer", 0, "A1"),
        ("forget", "0", "x", "paraphrase", 0, "P1"),
        ("forget", "0", "x", "perturbed", 0, "W1"),
        ("forget", "0", "x", "perturbed", 1, "W2"),
        ("retain", "1", "1", "answer", 0, "A2"),
    ]
    assert [(p.set, p.prompt, p.reference, p.max_new_tokens) for p in data.probes.prompts] == [
        ("forget", "Q1", "A1", 5),
        ("retain", "Q2", "A2", 5),
    ]
    assert data.corpus == ("Question: Q1\nAnswer: A1", "Question: Q2\nAnswer: A2")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "holds no list"),
        ("[", "cannot be read"),
        ('[{"question": "Q"}]', "question 1: it needs at least a question and an answer"),
        ('[{"question": "Q", "answer": "A", "forgot": true}]', "nobody knows 'forgot'. There are: question, answer"),
        ('[{"question": "Q", "answer": "A", "forget": "yes"}]', "'forget' is true or false, not 'yes'"),
        ('[{"question": "Q", "answer": "A", "wrong": [1]}]', "'wrong' is a list of texts"),
    ],
)
def test_a_mistake_in_the_questions_is_told_with_its_place(text: str, says: str, tmp_path: Path):
    (tmp_path / "questions.json").write_text(text)
    with pytest.raises(UsageError, match=re.escape(says)):
        splits(read(tmp_path / "questions.json"))


def test_a_question_alone_is_to_be_kept():
    assert Question("Q", "A").forget is False
