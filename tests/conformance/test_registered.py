"""Whatever is registered, built in or a newcomer's, keeps the contracts: it is found here by name, nobody adds it."""

from __future__ import annotations

import ast
import dataclasses
import re

import numpy as np
import pytest
import torch

from bench import registry
from bench.api import Pair
from bench.contracts import Context
from bench.model import models
from bench.model.recipes import SCRATCH
from bench.run.compose import compose, resolve
from bench.train.batches import answer_logps
from bench.train.unlearning import unlearn

GRADIENT = [n for n in registry.names("method") if "objective" in registry.find("method", n).parts]
PARTS = [(kind, name) for kind in ("objective", "optimizer", "scope") for name in registry.names(kind)]
PAIRS = [Pair(f"Who is number {n}?", f"{chr(97 + n) * 3} and {n * 7}") for n in range(8)]
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=300)


@pytest.mark.parametrize("name", registry.names("method"))
def test_methods_say_what_they_are(name):
    declared = registry.find("method", name)
    assert declared.doc
    source = ast.get_docstring(ast.parse(declared.path.read_text())) or ""
    assert "control" in declared.flags or re.search(r"arXiv:\d{4}\.\d{4,5}|\b(19|20)\d\d\b", source), "cite the paper"


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_parts_are_frozen_documented_and_have_valid_defaults(kind, name):
    part = registry.load(kind, name)
    assert (part.__doc__ or "").strip()
    with pytest.raises(dataclasses.FrozenInstanceError):
        part().anything = 1
    for field in dataclasses.fields(part):
        assert field.metadata.get("doc"), f"{name}.{field.name}: declare it with param(default, doc)"


@pytest.mark.parametrize("name", GRADIENT)
def test_parameters_round_trip_through_text(name):
    """What `--set` reads back from the printed value of every parameter is that value."""
    made = compose(name, "tiny")
    told = {p: ":".join(map(str, v)) if isinstance(v, tuple) else str(v) for p, v in made.parameters.items()}
    told = {p: text.lower() if text in ("True", "False", "None") else text for p, text in told.items()}
    assert compose(name, "tiny", told).parameters == made.parameters


@pytest.mark.parametrize("name", GRADIENT)
def test_a_toy_run_forgets_stays_finite_and_repeats_to_the_bit(name, tmp_path):
    first, before = toy_run(name, tmp_path / "a")
    second, _ = toy_run(name, tmp_path / "b")
    after = answer_logps(first, [first.encode(p.prompt, p.answer) for p in PAIRS[4:]]).sum()
    assert torch.isfinite(after)
    assert after < before
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))


def toy_run(name: str, cache) -> tuple[models.LM, torch.Tensor]:
    """Unlearn four of eight pairs from a random model, with the tiny model's settings at ten times their rate."""
    torch.set_num_threads(1)
    lm = models.new_llama(SHAPE, models.train_tokenizer([p.prompt + " " + p.answer for p in PAIRS], 300), seed=0)
    retain, forget = ([lm.encode(p.prompt, p.answer) for p in half] for half in (PAIRS[:4], PAIRS[4:]))
    before = answer_logps(lm, forget).sum()
    parts = dict(compose(name, "tiny").parts)
    parts["optimizer"] = dataclasses.replace(parts["optimizer"], lr=10 * parts["optimizer"].lr)
    context = Context(lm, forget, retain, "toy", 0, cache, lambda *_: None)
    curve, moved = unlearn(context, *(parts[k] for k in ("objective", "optimizer", "scope", "schedule")))
    assert moved > 0
    assert all(np.isfinite(line["gradient_norm"]) for line in curve.lines)
    return lm, before


@pytest.mark.parametrize("name", [n for n in registry.names("method") if n not in GRADIENT])
def test_transforms_are_callable(name):
    assert callable(resolve(name).transform)


@pytest.mark.parametrize("name", registry.names("task"))
def test_tasks_keep_their_sets_apart(name):
    task = registry.load("task", name)(name)
    data = task.data("embedded")
    assert task.name == name
    assert data.forget
    assert not set(data.forget) & set(data.retain)
    assert not set(data.forget) & (set(data.base) | set(data.general))
    assert set(data.full) == set(data.forget) | set(data.retain)
    assert data == registry.load("task", name)(name).data("embedded"), "the same source must give the same data"
    texts = [(t.set, t.id, t.role, t.index) for t in data.probes.texts]
    prompts = [(p.set, p.id, p.role) for p in data.probes.prompts]
    assert len(set(texts)) == len(texts) > 0
    assert len(set(prompts)) == len(prompts)
    assert set(task.scores) <= set(registry.names("metric"))
    assert {"forget quality", "model utility", "membership", "task aggregate"} <= set(task.headlines)
    shown = {*task.headlines.values(), *task.floors, *(name for names in task.details.values() for name in names)}
    assert shown <= set(task.scores)
    seen = {pair.answer for pair in (*data.full, *data.base, *data.general)}
    holdout = [t.continuation for t in data.probes.texts if t.set in ("holdout", "nonmember")]
    assert not set(holdout) & seen, "no model may have seen the holdout set"


@pytest.mark.parametrize("name", registry.names("metric"))
def test_metrics_reduce_the_last_axis_and_broadcast_over_the_others(name):
    """The score of a stack of samples is the stack of their scores."""
    metric = registry.load("metric", name)()
    random = np.random.default_rng(0)
    sample, retrain = ({need: random.uniform(0.05, 0.95, (3, 12)) for need in metric.needs} for _ in range(2))
    other = retrain if metric.needs_retrain else None
    whole = np.asarray(metric.score(sample, other))
    assert whole.shape == (3,)
    for i in range(3):
        one = metric.score({k: v[i] for k, v in sample.items()}, other and {k: v[i] for k, v in other.items()})
        assert float(one) == pytest.approx(whole[i], rel=1e-12, nan_ok=True)
    assert metric.goal in ("maximise", "minimise", "match")
    assert metric.title
    assert metric.version >= 1
