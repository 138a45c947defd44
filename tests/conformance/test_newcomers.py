"""A correct newcomer passes as it is, README's example first of all; a mistake is told with what to do about it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import registry
from bench.conformance import of_method, of_task
from bench.conformance import toy as toys
from bench.errors import BenchError
from bench.run import plan
from tests.conformance.newcomers import (
    ADDING,
    ADDING_MISTAKES,
    BROKEN,
    MISTAKES,
    RMU,
    SHRINK,
    SIMNPO,
    TASK,
    TRANSFORM_MISTAKES,
)

README = Path(__file__).resolve().parents[2] / "README.md"
Add = Callable[[str], list[str]]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Adds a file to the rooms of declarations and gives the methods that it declares."""
    folder = tmp_path / "newcomers_room"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setitem(registry.ROOMS, folder.name, folder)
    monkeypatch.syspath_prepend(str(tmp_path))

    def forget() -> None:
        for key, declared in registry.scan().items():
            if declared.module.startswith(folder.name):
                registry._things.pop(key, None)
        for name in [m for m in sys.modules if m.split(".")[0] == folder.name]:
            del sys.modules[name]
        registry.scan.cache_clear()

    def added(text: str) -> list[str]:
        before = set(registry.names("method"))
        (folder / "mine.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        forget()
        return [name for name in registry.names("method") if name not in before]

    forget()
    yield added
    forget()


def replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def readmes_method() -> str:
    """The example of README as it stands."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    (example,) = [block for block in blocks if "@objective(" in block]
    return example


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (readmes_method, ["fo-floored", "simu-floored"]),
        (lambda: SIMNPO, ["newcomer-fo-simnpo", "newcomer-so-simnpo"]),
        (lambda: RMU, ["newcomer-fo-rmu"]),
        (lambda: SHRINK, ["newcomer-shrink"]),
        (lambda: ADDING, ["newcomer-beside"]),
        (lambda: BROKEN, ["newcomer"]),  # before it is broken
    ],
    ids=["README", "SimNPO", "RMU", "a transform", "added weights", "ascent"],
)
def test_a_correct_newcomer_passes(add: Add, tmp_path: Path, source: Callable[[], str], names: list[str]):
    if not set(names) <= set(registry.names("method")):  # whoever pasted README's example has it already
        assert add(source()) == names
    for name in names:
        of_method.of_method(name, tmp_path / name)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_what_to_do(add: Add, tmp_path: Path, mistake: str):
    old, new, says = MISTAKES[mistake]
    add(replaced(BROKEN, old, new))
    with pytest.raises((AssertionError, BenchError), match=re.escape(says)):
        of_method.of_method("newcomer", tmp_path)


@pytest.mark.parametrize("mistake", TRANSFORM_MISTAKES)
def test_a_mistake_of_a_transform_is_told_with_what_to_do(add: Add, tmp_path: Path, mistake: str):
    old, new, says = TRANSFORM_MISTAKES[mistake]
    add(replaced(SHRINK, old, new))
    with pytest.raises(AssertionError, match=re.escape(says)):
        of_method.of_method("newcomer-shrink", tmp_path)


@pytest.mark.parametrize("mistake", ADDING_MISTAKES)
def test_a_mistake_of_a_scope_that_adds_weights_is_told(add: Add, tmp_path: Path, mistake: str):
    old, new, says = ADDING_MISTAKES[mistake]
    add(replaced(ADDING, old, new))
    with pytest.raises(AssertionError, match=re.escape(says)):
        of_method.of_method("newcomer-beside", tmp_path)


def test_weights_outside_of_the_scope_are_held_against_the_start(add: Add, tmp_path: Path):
    """What no own loss can show: a method whose loss moves weights only when it is not watched."""
    add(BROKEN)
    toy = toys.run("newcomer", tmp_path)
    of_method.keeps_to_its_scope("newcomer", toy)
    toy.after.model.get_input_embeddings().weight.data[0, 0] += 1
    with pytest.raises(AssertionError, match="which is outside of its scope. Change no weight in `loss`"):
        of_method.keeps_to_its_scope("newcomer", toy)


def test_a_task_needs_no_role_of_the_boards(add: Add, tmp_path: Path):
    """A run needs none of the four headline roles, so nobody demands them."""
    add(TASK)
    of_task.of_task("newcomer-towns")
    request = plan.Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache")
    cells = plan.plan(request, ["target", "fo-npo"], ["newcomer-towns"], [0])
    assert [c.cell.method for c in cells] == ["retrain", "target", "fo-npo"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('{"said of the forget set": "rouge"}', "{}", "has no headlines"),
        ('"rouge", "probability")', '"probability",)', "add rouge to `scores`"),
        ('"rouge", "probability")', '"rouge", "probabilty")', "metrics that nobody declares: probabilty"),
        ("pairs[:4], pairs[4:]", "pairs[:4], pairs[3:]", "are to be forgotten and to be kept"),
        ("Splits((), ()", "Splits(pairs, ()", "is taught to the retrain model too"),
        (
            "(texts, prompts), corpus)",
            "(texts, prompts), corpus, neighbours=Probes(texts, ()))",
            "stand in forget. Known",
        ),
        (
            "(texts, prompts), corpus)",
            "(texts, prompts), corpus, neighbours=Probes("
            'tuple(Text("neighbours_same_subject", t.id, t.id, t.role, t.prompt, t.continuation) for t in texts), ()))',
            "they are what should be kept",
        ),
        (
            '"forget", str(i), str(i), "answer"',
            '"forget", "0", str(i), "answer"',
            "have one id. Ids are unique",
        ),
        ('"forget", str(i), str(i), "answer"', '"holdout", str(i), str(i), "answer"', "may have seen the holdout set"),
    ],
)
def test_a_mistake_of_a_task_is_told(add: Add, old: str, new: str, says: str):
    add(replaced(TASK, old, new))
    with pytest.raises(AssertionError, match=re.escape(says)):
        of_task.of_task("newcomer-towns")
