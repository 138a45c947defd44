"""The toy that methods and attacks are judged on: a Llama of two layers that knows eight pairs, of which it shall
lose four.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from bench.api import Asking, AttackData, Family, Pair, Probes, Prompt, Scope, Selection, Splits, Text
from bench.attacks._asked import forget_items, kept_items
from bench.attacks._subject import Subject
from bench.conformance.unmet import Unmet
from bench.contracts import Context, Encoded
from bench.keys import stream
from bench.model import models
from bench.model.recipes import SCRATCH, Teaching
from bench.needs import sets_of
from bench.run.compose import compose
from bench.run.resolve import resolve
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


@cache
def retrain() -> models.LM:
    """A model that was taught the four pairs to keep, and never saw the others. Do not touch it either."""
    lm = models.new_llama(SHAPE, target().tokenizer, seed=0)
    teach(lm, PAIRS[:4], Teaching(epochs=80, lr=1e-2), key="toy")
    return lm


@cache
def toy_splits() -> Splits:
    """The eight pairs as a task's data, two a cluster, with all that attacks may ask for."""
    probes = [probe for n, pair in enumerate(PAIRS) for probe in _asked(n, pair)]
    texts = tuple(each for each in probes if isinstance(each, Text))
    prompts = tuple(each for each in probes if isinstance(each, Prompt))
    other = tuple(Pair(f"Who is letter {chr(65 + n)}?", f"{chr(65 + n) * 2} or {n}") for n in range(4))
    lessons = dict.fromkeys(("same template", "other template", "unrelated"), other)
    askings = [
        Asking(f"pair-{n}", f"cluster-{n // 2}", ("Who comes first?", f"After {{0}}, who is number {n}?"), pair.answer,
               truths=("nobody",), false=(PAIRS[n - 1].answer, PAIRS[n - 2].answer))
        for n, pair in enumerate(PAIRS)
    ]  # fmt: skip
    families = tuple(
        Family(f"{kind}{' of another' * control}", kind, tuple(askings[4:]), tuple(askings[:4]), control)
        for kind in ("direct", "indirect", "implied", "given", "entailing", "adjacent", "chain")
        for control in (False, True)
    )
    return Splits(
        (), other, tuple(PAIRS[4:]), tuple(PAIRS[:4]), Probes(texts, prompts), (), attacks=AttackData(lessons, families)
    )


def _asked(n: int, pair: Pair) -> list[Text | Prompt]:
    """What is measured of one pair: its answer, a false one, its question and that in other words."""
    where = "forget" if pair in PAIRS[4:] else "retain", f"pair-{n}", f"cluster-{n // 2}"
    return [
        Text(*where, "answer", pair.prompt, pair.answer),
        Text(*where, "perturbed", pair.prompt, PAIRS[n - 1].answer),
        Prompt(*where, "question", pair.prompt, pair.answer, 16),
        Prompt(*where, "paraphrased_question", f"Number {n} is who?", pair.answer, 16),
    ]


def subject() -> Subject:
    """The toy under attack: a model that has lost nothing."""
    data, draw = toy_splits(), partial(stream, "toy attack")
    return Subject(
        copy.deepcopy(target()), forget_items(data, draw("items")), kept_items(data, draw("kept")), data,
        lambda: copy.deepcopy(target()), lambda: copy.deepcopy(retrain()), draw, lambda *_: None, lr=1e-2,
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
