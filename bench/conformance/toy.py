"""The toy that methods are judged on: a Llama of two layers that knows eight pairs, of which it shall lose four."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from bench.api import Pair, Probes, Scope, Selection, Splits
from bench.conformance.unmet import Unmet
from bench.contracts import Context, Encoded
from bench.keys import stream
from bench.model import models
from bench.model.recipes import SCRATCH, Teaching
from bench.needs import sets_of
from bench.run.compose import compose, resolve
from bench.train.alternatives import alternatives
from bench.train.loop import Curve, Diverged
from bench.train.masking import adapted
from bench.train.steps import Steps
from bench.train.teaching import teach
from bench.train.unlearning import unlearn

PAIRS = [Pair(f"Who is number {n}?", f"{chr(97 + n) * 3} and {n * 7}") for n in range(8)]
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=300)


@dataclasses.dataclass
class Toy:
    """One run of a method on the toy, and the model and sets that it started from."""

    before: Any
    after: Any
    sets: dict[str, tuple[list[Encoded], Sequence[Encoded]]]  # as they were, and as the method left them
    selection: Selection | None = None  # what may be another at the end
    curve: Curve = dataclasses.field(default_factory=Curve)


@cache
def target() -> models.LM:
    """A model that knows the eight pairs. Do not touch it: take `copy.deepcopy`."""
    torch.set_num_threads(1)
    lm = models.new_llama(SHAPE, models.train_tokenizer([p.prompt + " " + p.answer for p in PAIRS], 300), seed=0)
    teach(lm, PAIRS, Teaching(epochs=80, lr=1e-2), key="toy")
    return lm


def context(folder: Path) -> Context:
    """The toy as a method is handed it."""
    lm = copy.deepcopy(target())
    retain, forget = ([lm.encode(p.prompt, p.answer) for p in half] for half in (PAIRS[:4], PAIRS[4:]))
    data = Splits((), (), forget=tuple(PAIRS[4:]), retain=tuple(PAIRS[:4]), probes=Probes((), ()), corpus=())
    return Context(
        lm, forget, retain, "toy", 0, folder, lambda *_: None,
        alternatives=lambda kind: alternatives(lm, data, kind, partial(stream, "toy", 0)),
    )  # fmt: skip


def steps(objective: Any, given: Context) -> Steps:
    """One batch of everything that the toy has, as an objective sees it."""
    sets = {"forget": given.forget, "retain": given.retain}
    drawn = {name: list(range(len(items))) for name, items in sets.items() if name in sets_of(objective)}
    return Steps.of(given, objective, [drawn])


def is_gradient_method(name: str) -> bool:
    return resolve(name).transform is None


def run(name: str, folder: Path, given: Context | None = None, told: dict[str, str] | None = None) -> Toy:
    """Run a method on the toy, or on what is `given`, with the settings of the tiny model and what is `told`."""
    given = given or context(folder)
    sets = {"forget": given.forget, "retain": given.retain}
    toy = Toy(copy.deepcopy(given.lm), given.lm, {k: (copy.deepcopy(list(v)), v) for k, v in sets.items()})
    made = compose(name, "tiny", told)
    if is_gradient_method(name):
        toy.selection = may_move(made.parts["scope"], dataclasses.replace(given, lm=copy.deepcopy(given.lm)))
        chosen = (made.parts[kind] for kind in ("objective", "optimizer", "scope", "schedule"))
        try:
            toy.curve, _ = unlearn(given, *chosen)
        except Diverged as error:
            raise Unmet(
                f"{name}: {error}. Compute in logarithms (torch.nn.functional.logsigmoid, logsumexp) and never divide "
                "by what can be 0"
            ) from error
    else:
        toy.after = made.parts.get("transform", made.method.transform)(given)
    return toy


def may_move(scope: Scope, given: Context) -> Selection:
    """What a scope may change: what it selects and, of what it adds, the parameters of the modules that it adds to."""
    before = [name for name, _ in given.lm.model.named_parameters()]
    with adapted(scope, given):
        selected = scope.select(given)
    owners = {name.rpartition(".")[0] for name in before}
    added = {name: [owner for owner in owners if name.startswith(f"{owner}.")] for name in selected.keys() - {*before}}
    changed = {max(found, key=len) for found in added.values() if found}
    taking = {name: None for name in before if name.rpartition(".")[0] in changed}
    return taking | {name: neurons for name, neurons in selected.items() if name in before}
