"""Neighbours are measured behind all else, scored and keyed only where they were asked for; guessing has its share."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import NEIGHBOURS, Pair, Probes, Rows, Splits, Text, make_task
from bench.metrics._asked import ASKED_FOR, NEAR
from bench.model import models
from bench.model.models import LM
from bench.model.recipes import SCRATCH
from bench.run import measuring
from bench.run import plan as planning
from bench.run.plan import Planned, Request, metrics, plan
from bench.score.scoring import item_table, score_items
from tests.measure.test_asked import PROBES

SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=1, heads=2, vocab_size=300)
WRONG = 4


def neighbour(set_: str, n: int) -> list[Text]:
    """A question with its answer, and others with longer and shorter ones."""
    where = set_, str(n), f"near-{n}"
    wrong = [Text(*where, "perturbed", f"What is {n}?", f"{n} and {'more ' * k}less", k) for k in range(WRONG)]
    return [Text(*where, "answer", f"What is {n}?", f"{n} and more"), *wrong]


NEAR_PROBES = Probes(tuple(t for s in ("neighbours_same_template", "neighbours_world_facts") for n in range(4)
                           for t in neighbour(s, n)), ())  # fmt: skip
DATA = Splits((), (), (Pair("a", "b"),), (Pair("c", "d"),), PROBES, ("a",), neighbours=NEAR_PROBES)


@pytest.fixture(scope="module")
def lm() -> LM:
    torch.set_num_threads(1)
    texts = [f"{t.prompt} {t.continuation}" for t in (*PROBES.texts, *NEAR_PROBES.texts)]
    return models.new_llama(SHAPE, models.train_tokenizer(texts, 300), 0)


@pytest.fixture
def measured(lm: LM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """What is measured of a model where these probes are asked for."""

    def of(*probes: str, lm: LM = lm, data: Splits = DATA) -> Rows:
        monkeypatch.setattr(measuring, "splits", lambda task, source: data)
        monkeypatch.setattr(measuring, "exams", lambda request, task, probes: ())
        request = Request("tiny", "embedded", tmp_path, tmp_path)
        return measuring.measured(request, "t", lm, probes, {}, lambda: lm, lambda *_: None)[0]

    return of


def test_they_stand_behind_rows_that_are_as_they_were(measured) -> None:
    plain, both = measured(), measured(NEAR)
    count = len(plain.texts)
    assert both.texts.iloc[:count].equals(plain.texts) and both.generations.equals(plain.generations)
    assert np.array_equal(both.logp.flat[: len(plain.logp.flat)], plain.logp.flat)
    assert set(both.texts["set"].iloc[count:]) == {"neighbours_same_template", "neighbours_world_facts"}
    assert len(both.texts) == count + len(NEAR_PROBES.texts)
    names = ["rouge", "probability"]
    one, two = (score_items(item_table(rows, names), None, names) for rows in (plain, both))
    assert one == two


def test_they_go_with_every_other_probe(measured) -> None:
    """The columns of attacks are of the task's own texts; a neighbour has none of them, and no attack sees it."""
    names = ("reference", "gradient-norm", "abstention")
    alone, both = measured(*names), measured(*names, NEAR)
    for column in ("reference_loss", "gradient_norm"):
        assert np.array_equal(both.texts[column][: len(alone.texts)], alone.texts[column], equal_nan=True)
        assert both.texts[column][len(alone.texts) :].isna().all()


def test_a_task_without_neighbours_has_no_value_and_says_why(measured) -> None:
    rows = measured(NEAR, data=dataclasses.replace(DATA, neighbours=Probes((), ())))
    names = list(ASKED_FOR[NEAR])
    scores = score_items(item_table(rows, names), None, names)
    assert all(score.value is None and score.note for score in scores.values())


def test_a_model_that_knows_nothing_has_what_guessing_has(measured, lm: LM) -> None:
    """All tokens equally likely: every answer has the same mean, whatever its length, and shares the first place."""
    uniform = models.new_llama(SHAPE, lm.tokenizer, 0)
    with torch.no_grad():
        uniform.model.get_output_embeddings().weight.zero_()
    names = list(ASKED_FOR[NEAR])
    scores = score_items(item_table(measured(NEAR, lm=uniform), names), None, names)
    known = {name: score.value for name, score in scores.items() if score.value is not None}
    assert known == {
        name: pytest.approx(1 / (1 + WRONG))
        for name in ("neighbours_same_template", "neighbours_world_facts", "keeping_in_domain", "keeping_cross_domain")
    }


# -- keys ------------------------------------------------------------------------------------------------------------


def target(folder: Path, *probes: str, task: str = "tofu:forget10") -> Planned:
    request = Request("tiny", "embedded", folder / "results", folder / "cache", probes=probes)
    return next(c for c in plan(request, ["target"], [task], [0]) if c.cell.method == "target")


@pytest.mark.parametrize("task", ["tofu:forget10", "lume:task1"])
def test_keys_know_of_them_only_where_they_were_asked_for(task: str, tmp_path: Path, monkeypatch) -> None:
    plain, asked = target(tmp_path, task=task), target(tmp_path, NEAR, task=task)
    assert plain.keys["train"] == asked.keys["train"] and plain.keys["measure"] != asked.keys["measure"]
    assert NEAR not in plain.identity and asked.identity["probes asked for"] == [NEAR]
    assert not set(ASKED_FOR[NEAR]) & set(metrics(task)) and set(ASKED_FOR[NEAR]) <= set(metrics(task, (NEAR,)))
    without = dataclasses.replace(make_task(task).data("embedded"), neighbours=NEAR_PROBES)
    monkeypatch.setattr(planning, "splits", lambda task, source: without)
    planning.hashes.cache_clear()
    try:
        assert target(tmp_path, task=task).keys == plain.keys  # whatever they are
        assert target(tmp_path, NEAR, task=task).keys["measure"] != asked.keys["measure"]
    finally:
        planning.hashes.cache_clear()


def test_what_a_task_measures_is_none_of_them() -> None:
    for task in ("tofu:forget10", "lume"):
        splits = make_task(task).data("embedded")
        assert not {text.set for text in splits.probes.texts} & {*NEIGHBOURS}
