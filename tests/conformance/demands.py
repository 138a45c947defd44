"""What every method and every task must satisfy, each with what its author can do where it is not met.

Methods are judged on a toy: a Llama of two layers that knows eight pairs, of which it shall lose four. It shows whether
a method is correct, never whether it is strong: how much is forgotten in five steps is nobody's business here.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import registry
from bench.api import Pair, Scope, Selection, Task
from bench.contracts import Context, Encoded, Step
from bench.model import models
from bench.model.architecture import neuron_axis
from bench.model.recipes import SCRATCH, Teaching
from bench.run.compose import compose, resolve
from bench.train.batches import answer_logps, collate, label_logps
from bench.train.loop import Curve, Diverged
from bench.train.masking import adapted, trainable
from bench.train.parts import Room, cut
from bench.train.teaching import teach
from bench.train.unlearning import unlearn

PAIRS = [Pair(f"Who is number {n}?", f"{chr(97 + n) * 3} and {n * 7}") for n in range(8)]
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=300)
RANDOM = (
    "Draw from `context.stream(...)` or from a torch.Generator with a seed of its own, never from a global generator, "
    "and keep no state between runs."
)


# -- what a method says of itself ------------------------------------------------------------------------------------


def says_what_it_is(name: str) -> None:
    """A line for `bench list`, and a source in the docstring of its file."""
    declared = registry.find("method", name)
    assert declared.doc, f"{declared.origin}: say in a line what '{name}' is: method(name, doc, ...)"
    source = ast.get_docstring(ast.parse(declared.path.read_text(encoding="utf-8"))) or ""
    assert "control" in declared.flags or re.search(r"arXiv:\d{4}\.\d{4,5}|\b(19|20)\d\d\b", source), (
        f"{declared.path.name}: cite where '{name}' comes from in the docstring of the file, as arXiv:2404.05868 or as "
        "Me 2026"
    )


def part_is_documented(kind: str, name: str) -> None:
    """A frozen dataclass with a docstring, whose parameters all say what they are."""
    part = registry.load(kind, name)
    where = registry.find(kind, name).origin
    assert dataclasses.is_dataclass(part), f"{where}: decorate '{name}' with @dataclass(frozen=True)"
    assert part.__dataclass_params__.frozen, f"{where}: '{name}' must not change: @dataclass(frozen=True)"
    assert registry.find(kind, name).doc, f"{where}: say in the docstring of '{name}' what it claims"
    for field in dataclasses.fields(part):
        assert field.metadata.get("doc"), f"{where}: declare {field.name} with param(default, doc)"


def parameters_round_trip(name: str) -> None:
    """What `--set` reads back from the printed value of every parameter is that value."""
    made = compose(name, "tiny")
    told = {p: ":".join(map(str, v)) if isinstance(v, tuple) else str(v) for p, v in made.parameters.items()}
    told = {p: text.lower() if text in ("True", "False", "None") else text for p, text in told.items()}
    again = compose(name, "tiny", told).parameters
    odd = [p for p, value in made.parameters.items() if again[p] != value]
    assert not odd, f"{name}: {', '.join(odd)} cannot be set by text. Annotate with int, float, bool, str or a tuple"


# -- what a method does ----------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Toy:
    """One run of a method on the toy, and the model and sets that it started from."""

    before: models.LM
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
    return Context(lm, forget, retain, "toy", 0, folder, lambda *_: None)


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
            raise AssertionError(
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


def stays_finite(name: str, toy: Toy) -> None:
    """Every number of the training curve, and every weight."""
    odd = {key for line in toy.curve.lines for key, value in line.items() if not np.isfinite(value)}
    assert not odd, f"{name}: {', '.join(sorted(odd))} of its LossTerms is not finite"
    bad = [key for key, value in toy.after.model.named_parameters() if not bool(torch.isfinite(value).all())]
    assert not bad, f"{name} leaves weights that are not finite: {', '.join(bad[:3])}"


def returns_a_model(name: str, toy: Toy) -> None:
    """A transform's own return is easily forgotten."""
    assert isinstance(toy.after, models.LM), (
        f"{name} returns {type(toy.after).__name__}, not a model: end its transform with `return context.lm`"
    )


def can_be_saved(name: str, toy: Toy, folder: Path) -> None:
    """The model that is loaded again answers the same."""
    models.save(toy.after, folder)
    loaded = models.load(folder)
    items = toy.sets["forget"][0]
    assert torch.equal(answer_logps(loaded, items), answer_logps(toy.after, items)), (
        f"{name}: its model answers otherwise once it is saved and loaded. Leave no hook, wrapper or buffer behind: "
        "what it learnt must be in the weights"
    )


def leaves_the_model_as_it_was_built(name: str, toy: Toy) -> None:
    """A gradient method gives back the modules and parameters that it was handed, with other values."""
    if toy.selection is None:
        return
    for what, before, now in zip(("module", "parameter"), _built(toy.before), _built(toy.after), strict=True):
        odd = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        assert not odd, (
            f"{name} leaves the {what} {odd[0]} as {now.get(odd[0])}, where it was {before.get(odd[0])}. Merge what "
            "the scope adds into the weights and take it out when the block of `adapters` ends, however it ends"
        )


def _built(lm: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The modules of a model, with their kind, and its parameters, with whether they take gradients."""
    return (
        {key: type(module).__name__ for key, module in lm.model.named_modules()},
        {key: f"trainable={p.requires_grad}" for key, p in lm.model.named_parameters()},
    )


def keeps_to_its_scope(name: str, toy: Toy) -> None:
    """Every weight that the scope does not select is the same to the bit."""
    if toy.selection is None:
        return
    before = dict(toy.before.model.named_parameters())
    for key, now in toy.after.model.named_parameters():
        chosen = toy.selection.get(key)
        if key in toy.selection and chosen is None:
            continue
        same = before[key] == now
        if chosen is not None and chosen.dtype == torch.bool:
            same = same | chosen
        elif chosen is not None:
            axis = neuron_axis(toy.after.model.get_submodule(key.rpartition(".")[0]))
            same = same.index_fill(axis, chosen, True)
        assert bool(same.all()), (
            f"{name} moved {key}, which is outside of its scope. Change no weight in `loss`: the loop moves what "
            "`select` names, and nothing else"
        )


def leaves_the_sets_alone(name: str, toy: Toy) -> None:
    """The items are handed to the next method as well."""
    for which, (before, now) in toy.sets.items():
        assert before == list(now), (
            f"{name} changed the {which} set that it was handed. Work on a copy: list(context.{which})"
        )


def repeats_to_the_bit(name: str, first: Toy, second: Toy) -> None:
    """The same seed gives the same weights."""
    ours, theirs = (dict(toy.after.model.named_parameters()) for toy in (first, second))
    odd = [key for key in ours if not torch.equal(ours[key], theirs[key])]
    assert not odd, f"{name} run twice gives other weights ({odd[0]}). {RANDOM}"


def lowers_its_own_loss(name: str, folder: Path) -> None:
    """A small step against the gradient, within the scope, lowers the loss: it is a function of the weights, and its
    gradient is its own."""
    given, parts = context(folder), compose(name, "tiny").parts
    objective = parts["objective"]
    lm = given.lm
    lm.model.eval()
    reference = answer_logps(lm, given.forget) if objective.reference else torch.zeros(len(given.forget))
    named = {"forget": given.forget} | ({"retain": given.retain} if getattr(objective, "retain", True) else {})
    batches = {which: collate(items, lm.pad) for which, items in named.items()}

    def loss() -> torch.Tensor:
        try:
            return objective.loss(Step(lm.model, batches, reference, 0.0, label_logps)).total
        except KeyError as error:
            raise AssertionError(f"{name}: its loss asks for {error}, though it says `retain = False`") from error

    scope = parts["scope"]
    with adapted(scope, given), trainable(lm.model, scope.select(given)) as weights:
        before = loss()
        assert before.ndim == 0, (
            f"{name}: its loss is no scalar but {tuple(before.shape)}. Take the mean over the batch"
        )
        assert bool(torch.isfinite(before)), f"{name}: its loss is {before.item()} where the model knows the answers"
        assert torch.equal(before, loss()), f"{name}: the loss of the same step is another each time. {RANDOM}"
        assert before.requires_grad, (
            f"{name}: its loss has no gradient. Compute it from step.forget and step.retain, without detach or no_grad"
        )
        slopes = torch.autograd.grad(before, weights, allow_unused=True)
        slopes = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, slopes, strict=True)]
        norm = torch.nn.utils.get_total_norm(slopes)
        assert bool(torch.isfinite(norm)), f"{name}: the gradient of its loss is not finite, though its value is"
        assert norm > 0, (
            f"{name}: the gradient is 0 in every weight of its scope where the model still knows the answers, so that "
            "it can never begin. Look for a clamp or a max that has shut, or choose a scope that its loss depends on"
        )
        start = [w.detach().clone() for w in weights]
        for size in (1e-2, 1e-3, 1e-4):
            with torch.no_grad():
                for weight, origin, slope in zip(weights, start, slopes, strict=True):
                    weight.copy_(origin - size * slope / norm)
                if loss() < before:
                    return
    raise AssertionError(
        f"{name}: no small step against its gradient lowers its loss: the gradient is not that of the loss. Look for "
        "a backward of its own, for weights changed in `loss`, for a straight-through estimate"
    )


def adds_up_in_parts(name: str, folder: Path) -> None:
    """A batch that memory does not hold is run in parts: their losses, weighted by their rows, are the batch's."""
    given, objective = context(folder), compose(name, "tiny").parts["objective"]
    given.lm.model.eval()
    reference = answer_logps(given.lm, given.forget) - 1 if objective.reference else torch.zeros(len(given.forget))
    sets = {"forget": given.forget} | ({"retain": given.retain} if getattr(objective, "retain", True) else {})
    room = Room(given.lm, sets)
    drawn = {which: list(range(len(items))) for which, items in sets.items()}

    def loss(tokens: float) -> float:
        parts = cut(drawn, sets, tokens)
        steps = [
            Step(given.lm.model, room.batches(p), reference[p.rows["forget"]], 0.0, label_logps, p.totals)
            for p in parts
        ]
        return sum(p.share * objective.loss(step).total.item() for p, step in zip(parts, steps, strict=True))

    whole, apart = loss(math.inf), loss(1)
    assert abs(whole - apart) <= 1e-5 * max(1.0, abs(whole)), (
        f"{name}: the loss of a batch is {whole:.6g}, that of its rows one by one {apart:.6g}, so it would depend on "
        "the memory of the machine. Take means over items with .mean() and means over labels with "
        "step.forget.mean(values) or .cross_entropy(), which know of the whole batch"
    )


def of_method(name: str, folder: Path) -> None:
    """Everything that is demanded of a method."""
    says_what_it_is(name)
    gradient = is_gradient_method(name)
    for kind in ("objective", "optimizer", "scope") if gradient else ():
        part_is_documented(kind, getattr(resolve(name), kind))
    parameters_round_trip(name)
    if gradient:
        lowers_its_own_loss(name, folder / "step")
        adds_up_in_parts(name, folder / "parts")
    first = run(name, folder / "first")
    returns_a_model(name, first)
    stays_finite(name, first)
    leaves_the_model_as_it_was_built(name, first)
    can_be_saved(name, first, folder / "saved")
    keeps_to_its_scope(name, first)
    leaves_the_sets_alone(name, first)
    repeats_to_the_bit(name, first, run(name, folder / "second"))


# -- tasks -----------------------------------------------------------------------------------------------------------


def of_task(name: str) -> None:
    """What a run of a task needs. The roles of headlines are the board's: a task has those that it has."""
    task: Task = registry.load("task", name)(name)
    where = registry.find("task", name).origin
    data = task.data("embedded")
    assert task.name == name, f"{where}: '{name}' calls itself '{task.name}'. Keep the name that it is made with"
    assert data.forget, f"{where}: '{name}' has nothing to forget"
    assert not set(data.forget) & set(data.retain), f"{where}: pairs of '{name}' are to be forgotten and to be kept"
    taught = set(data.base) | set(data.general)
    assert not set(data.forget) & taught, f"{where}: what '{name}' shall forget is taught to the retrain model too"
    assert set(data.full) == set(data.forget) | set(data.retain)
    again = registry.load("task", name)(name).data("embedded")
    assert data == again, (
        f"{where}: the same source must give the same data. Draw from bench.keys.stream, in a fixed order"
    )
    texts = [(t.set, t.id, t.role, t.index) for t in data.probes.texts]
    prompts = [(p.set, p.id, p.role) for p in data.probes.prompts]
    assert texts or prompts, f"{where}: '{name}' measures nothing: give it probes"
    for kind, found in (("texts", texts), ("prompts", prompts)):
        assert len(set(found)) == len(found), (
            f"{where}: two {kind} of '{name}' have one id. Ids are unique within a set"
        )
    unknown = set(task.scores) - set(registry.names("metric"))
    assert not unknown, f"{where}: '{name}' names metrics that nobody declares: {', '.join(sorted(unknown))}"
    assert task.headlines, f"{where}: '{name}' has no headlines, so its board would have no column. Name one metric"
    shown = {*task.headlines.values(), *task.floors, *(metric for names in task.details.values() for metric in names)}
    lacking = shown - set(task.scores)
    assert not lacking, f"{where}: '{name}' shows what it does not score: add {', '.join(sorted(lacking))} to `scores`"
    seen = {pair.answer for pair in (*data.full, *data.base, *data.general)}
    holdout = {t.continuation for t in data.probes.texts if t.set in ("holdout", "nonmember")}
    assert not holdout & seen, f"{where}: no model may have seen the holdout set of '{name}', and some are taught of it"
