"""The stage of attacks: keys are those of what is committed, items are drawn once, what fails costs no board."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.cli.cells import attack
from bench.errors import BenchError
from bench.run import attacking
from bench.run.attacking import Siege, carry_out, missing, siege
from bench.run.plan import Planned, Request, plan
from bench.store import attacked
from bench.store.attacked import BARE, DELIVERED, Attacked
from bench.store.record import Cell
from tests.attacks import made
from tests.measure.test_attached import branched
from tests.run.test_committed import RESULTS

TASK = "tofu:forget10"


@cache
def committed(method: str, model: str = "tiny") -> tuple[Request, Planned, Attacked]:
    """A cell that was attacked, as it is planned today."""
    name, _, objective = model.partition("@")
    tuned = str(RESULTS / "tuning" / "embedded" / name / f"{objective}.toml") if objective else ""
    request = Request(name, "embedded", RESULTS, RESULTS / "none", settings=tuned)
    planned = next(of for of in plan(request, [method], [TASK], [3]) if of.cell.method == method)
    return request, planned, attacked.read(RESULTS, planned.cell)


@pytest.mark.parametrize(
    ("method", "model"), [("retrain", "tiny"), ("o3", "tiny"), ("simu-npo", "tiny@deployable")]
)  # fmt: skip
def test_keys_of_committed_attacks_are_those_of_today(method: str, model: str) -> None:
    request, planned, found = committed(method, model)
    assert len(found.done) >= 5
    keys = {name: done["key"] for name, done in found.done.items()}
    assert siege(request, planned, [*keys]).attacks == keys


def test_what_is_missing_is_what_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    request, planned, found = committed("o3")
    names = ["plain", "leak", "rounding"]
    assert missing(request, [planned], names) == []
    other = {**found.done, "leak": {**found.done["leak"], "key": "another"}}
    del other["rounding"]
    monkeypatch.setattr(attacking.attacked, "read", lambda *of: Attacked(found.items, found.kept, (), other))
    (open_,) = missing(request, [planned], names)
    assert open_ == pickle.loads(pickle.dumps(open_)), "it goes to a worker"
    assert open_.attacks == {name: found.done[name]["key"] for name in ("leak", "rounding")}
    assert (open_.target.stage, open_.retrain.stage, open_.cell) == ("full", "retain", planned.cell)
    assert {model.seed for model in open_.models} == {3} and planned.start in open_.models


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Any, Siege, list[str]]:
    """A cell whose model has something attached, and what was drawn of its data."""
    drawn: list[str] = []

    def draw(which: str, items: Any) -> Any:
        return lambda data, random: drawn.append(which) or items

    monkeypatch.setattr(attacking, "make_model", lambda *of: branched("llama"))
    monkeypatch.setattr(attacking, "splits", lambda *of: made.subject().data)
    monkeypatch.setattr(attacking, "finetuning", lambda *of: SimpleNamespace(lr=0.01))
    monkeypatch.setattr(attacking, "forget_items", draw("items", made.asked(range(4))))
    monkeypatch.setattr(attacking, "kept_items", draw("kept", made.asked(range(4, 8))))
    request: Any = SimpleNamespace(results=tmp_path, source="", url="", model="tiny", precision="float32")
    planned: Any = SimpleNamespace(cell=Cell("t", "m", "tiny", "d", 0), keys={"train": "t"})
    model: Any = SimpleNamespace(key="k")
    return request, Siege(planned, model, model, {"plain": "one", "leak": "two"}), drawn


def test_a_cell_with_hooks_is_attacked_twice_and_its_items_are_drawn_once(stage) -> None:
    request, siege, drawn = stage
    assert carry_out(request, siege, lambda *of: None) == [] and drawn == ["items", "kept"]
    found = attacked.read(request.results, siege.cell)
    assert {name: done["key"] for name, done in found.done.items()} == siege.attacks
    assert {(p.attack, p.form) for p in found.points} == {(a, f) for a in siege.attacks for f in (DELIVERED, BARE)}
    plain = {p.form: p.known for p in found.points if p.attack == "plain"}
    assert (plain[DELIVERED] != plain[BARE]).any(), "each form is asked anew"
    assert [name for name, _ in found.items] == [each.id for each in made.asked(range(4))]
    assert [name for name, _ in found.kept] == [each.id for each in made.asked(range(4, 8))]


def test_an_attack_that_fails_costs_no_other(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    request, siege, _ = stage
    plain = attacking.make("plain")

    def fails(subject: Any) -> Any:
        yield from plain.run(subject)
        raise BenchError("it broke")

    own: Any = SimpleNamespace(**attacking.said_of(plain), run=fails)
    make = attacking.make
    monkeypatch.setattr(attacking, "make", lambda name: own if name == "plain" else make(name))
    monkeypatch.setattr(attacking, "how", lambda name: name)
    with pytest.raises(BenchError, match="plain: it broke"):
        carry_out(request, siege, lambda *of: None)
    found = attacked.read(request.results, siege.cell)
    assert {p.attack for p in found.points} == {"leak"}, "of what failed nothing is kept"
    assert found.has("leak", "two") and not found.has("plain", "one")


def test_what_was_found_of_other_items_is_not_kept_beside_these(stage) -> None:
    request, siege, _ = stage
    carry_out(request, siege, lambda *of: None)
    before = attacked.read(request.results, siege.cell)
    attacked.save(request.results, siege.cell, Attacked(before.items[::-1], before.kept, before.points, before.done))
    carry_out(request, Siege(siege.planned, siege.target, siege.retrain, {"leak": "three"}), lambda *of: None)
    after = attacked.read(request.results, siege.cell)
    assert after.items == before.items and [*after.done] == ["leak"]
    np.testing.assert_array_equal(
        [p.known for p in after.points], [p.known for p in before.points if p.attack == "leak"]
    )  # fmt: skip


def test_what_goes_wrong_is_said_and_the_board_is_written(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def unreadable(*of: Any) -> list[Siege]:
        raise BenchError("a file cannot be read")

    monkeypatch.setattr(attacking, "missing", unreadable)
    assert attack(None, [], ["leak"], 1, False) is False
    assert "error: a file cannot be read" in capsys.readouterr().err
    monkeypatch.setattr(attacking, "missing", lambda *of: [])
    assert attack(None, [], ["leak"], 1, False) is True
