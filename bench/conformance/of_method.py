"""What every method must satisfy, each with what its author can do where it is not met.

Methods are judged on a toy: a Llama of two layers that knows eight pairs, of which it shall lose four. It shows whether
a method is correct, never whether it is strong: how much is forgotten in five steps is nobody's business here.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import registry
from bench.conformance.toy import Toy, context, is_gradient_method, run
from bench.conformance.unmet import Unmet
from bench.contracts import Step
from bench.errors import BenchError
from bench.model import models
from bench.model.architecture import neuron_axis
from bench.run.compose import compose, resolve
from bench.run.keeping import built, refuse_foreign
from bench.train.batches import answer_logps, collate, label_logps
from bench.train.masking import adapted, trainable
from bench.train.parts import Room, cut

RANDOM = (
    "Draw from `context.stream(...)` or from a torch.Generator with a seed of its own, never from a global generator, "
    "and keep no state between runs."
)


# -- what a method says of itself ------------------------------------------------------------------------------------


def says_what_it_is(name: str) -> None:
    """A line for `bench list`, and a source in the docstring of its file."""
    declared = registry.find("method", name)
    if not declared.doc:
        raise Unmet(f"{declared.origin}: say in a line what '{name}' is: method(name, doc, ...)")
    source = ast.get_docstring(ast.parse(declared.path.read_text(encoding="utf-8"))) or ""
    if "control" not in declared.flags and not re.search(r"arXiv:\d{4}\.\d{4,5}|\b(19|20)\d\d\b", source):
        raise Unmet(
            f"{declared.path.name}: cite where '{name}' comes from in the docstring of the file, as arXiv:2404.05868 "
            "or as Me 2026"
        )


def part_is_documented(kind: str, name: str) -> None:
    """A frozen dataclass with a docstring, whose parameters all say what they are."""
    part = registry.load(kind, name)
    where = registry.find(kind, name).origin
    decorated: Any = getattr(part, "__dataclass_params__", None)
    if decorated is None:
        raise Unmet(f"{where}: decorate '{name}' with @dataclass(frozen=True)")
    if not decorated.frozen:
        raise Unmet(f"{where}: '{name}' must not change: @dataclass(frozen=True)")
    if not registry.find(kind, name).doc:
        raise Unmet(f"{where}: say in the docstring of '{name}' what it claims")
    for field in dataclasses.fields(part):
        if not field.metadata.get("doc"):
            raise Unmet(f"{where}: declare {field.name} with param(default, doc)")


def parameters_round_trip(name: str) -> None:
    """What `--set` reads back from the printed value of every parameter is that value."""
    made = compose(name, "tiny")
    told = {p: ":".join(map(str, v)) if isinstance(v, tuple) else str(v) for p, v in made.parameters.items()}
    told = {p: text.lower() if text in ("True", "False", "None") else text for p, text in told.items()}
    again = compose(name, "tiny", told).parameters
    odd = [p for p, value in made.parameters.items() if again[p] != value]
    if odd:
        raise Unmet(f"{name}: {', '.join(odd)} cannot be set by text. Annotate with int, float, bool, str or a tuple")


# -- what a method does ----------------------------------------------------------------------------------------------


def stays_finite(name: str, toy: Toy) -> None:
    """Every number of the training curve, and every weight."""
    odd = {key for line in toy.curve.lines for key, value in line.items() if not np.isfinite(value)}
    if odd:
        raise Unmet(f"{name}: {', '.join(sorted(odd))} of its LossTerms is not finite")
    bad = [key for key, value in toy.after.model.named_parameters() if not bool(torch.isfinite(value).all())]
    if bad:
        raise Unmet(f"{name} leaves weights that are not finite: {', '.join(bad[:3])}")


def returns_a_model(name: str, toy: Toy) -> None:
    """A transform's own return is easily forgotten."""
    if not isinstance(toy.after, models.LM):
        raise Unmet(
            f"{name} returns {type(toy.after).__name__}, not a model: end its transform with `return context.lm`"
        )


def can_be_saved(name: str, toy: Toy, folder: Path) -> None:
    """The model that is loaded again, with what is attached to it, is built the same and answers the same."""
    models.save(toy.after, folder)
    loaded = models.load(folder)
    try:
        refuse_foreign(name, built(toy.after.model), built(loaded.model))
    except BenchError as error:
        raise Unmet(str(error)) from error
    items = [*toy.sets["forget"][0], *toy.sets["retain"][0]]
    if not torch.equal(answer_logps(loaded, items), answer_logps(toy.after, items)):
        raise Unmet(
            f"{name}: its model answers otherwise once it is saved and loaded. Leave no hook, wrapper or buffer "
            "behind: what it learnt must be in the weights, or in what is declared with bench.api.attachment"
        )


def says_what_is_attached(name: str, toy: Toy) -> None:
    """A method that acts at inference is declared so, and taking off what it attached gives the target bit for bit."""
    if resolve(name).detachable != bool(toy.after.attached):
        raise Unmet(
            f"{name} is declared with detachable={resolve(name).detachable} and returns a model with "
            f"{len(toy.after.attached)} attachments. Write detachable=True where there are some, and only there"
        )
    before, now = (dict(lm.model.named_parameters()) for lm in (toy.before, toy.after))
    moved = [key for key in before if toy.after.attached and not torch.equal(before[key], now[key])]
    if moved:
        raise Unmet(
            f"{name} attaches to the model and moves {moved[0]} as well. Taken off, it must leave the target"
        )


def leaves_the_model_as_it_was_built(name: str, toy: Toy) -> None:
    """A gradient method gives back the modules and parameters that it was handed, with other values."""
    if toy.selection is None:
        return
    for what, before, now in zip(("module", "parameter"), _built(toy.before), _built(toy.after), strict=True):
        odd = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if odd:
            raise Unmet(
                f"{name} leaves the {what} {odd[0]} as {now.get(odd[0])}, where it was {before.get(odd[0])}. Merge "
                "what the scope adds into the weights and take it out when the block of `adapters` ends, however it "
                "ends"
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
        if chosen is not None:
            axis = neuron_axis(toy.after.model.get_submodule(key.rpartition(".")[0]))
            same = same.index_fill(axis, chosen, True)
        if not bool(same.all()):
            raise Unmet(
                f"{name} moved {key}, which is outside of its scope. Change no weight in `loss`: the loop moves what "
                "`select` names, and nothing else"
            )


def leaves_the_sets_alone(name: str, toy: Toy) -> None:
    """The items are handed to the next method as well."""
    for which, (before, now) in toy.sets.items():
        if before != list(now):
            raise Unmet(f"{name} changed the {which} set that it was handed. Work on a copy: list(context.{which})")


def repeats_to_the_bit(name: str, first: Toy, second: Toy) -> None:
    """The same seed gives the same weights, and the same answers with what is attached."""
    ours, theirs = (dict(toy.after.model.named_parameters()) for toy in (first, second))
    odd = [key for key in ours if not torch.equal(ours[key], theirs[key])]
    if odd:
        raise Unmet(f"{name} run twice gives other weights ({odd[0]}). {RANDOM}")
    items = [*first.sets["forget"][0], *first.sets["retain"][0]] if first.after.attached else []
    if not torch.equal(answer_logps(first.after, items), answer_logps(second.after, items)):
        raise Unmet(f"{name} run twice attaches something else. {RANDOM}")


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
            raise Unmet(f"{name}: its loss asks for {error}, though it says `retain = False`") from error

    scope = parts["scope"]
    with adapted(scope, given), trainable(lm.model, scope.select(given)) as weights:
        before = loss()
        if before.ndim != 0:
            raise Unmet(f"{name}: its loss is no scalar but {tuple(before.shape)}. Take the mean over the batch")
        if not bool(torch.isfinite(before)):
            raise Unmet(f"{name}: its loss is {before.item()} where the model knows the answers")
        if not torch.equal(before, loss()):
            raise Unmet(f"{name}: the loss of the same step is another each time. {RANDOM}")
        if not before.requires_grad:
            raise Unmet(
                f"{name}: its loss has no gradient. Compute it from step.forget and step.retain, without detach "
                "or no_grad"
            )
        found = torch.autograd.grad(before, weights, allow_unused=True)
        slopes = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
        norm = torch.nn.utils.get_total_norm(slopes)
        if not bool(torch.isfinite(norm)):
            raise Unmet(f"{name}: the gradient of its loss is not finite, though its value is")
        if norm == 0:
            raise Unmet(
                f"{name}: the gradient is 0 in every weight of its scope where the model still knows the answers, so "
                "that it can never begin. Look for a clamp or a max that has shut, or choose a scope that its loss "
                "depends on"
            )
        start = [w.detach().clone() for w in weights]
        for size in (1e-2, 1e-3, 1e-4):
            with torch.no_grad():
                for weight, origin, slope in zip(weights, start, slopes, strict=True):
                    weight.copy_(origin - size * slope / norm)
                if loss() < before:
                    return
    raise Unmet(
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
    if abs(whole - apart) > 1e-5 * max(1.0, abs(whole)):
        raise Unmet(
            f"{name}: the loss of a batch is {whole:.6g}, that of its rows one by one {apart:.6g}, so it would depend "
            "on the memory of the machine. Take means over items with .mean() and means over labels with "
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
    says_what_is_attached(name, first)
    keeps_to_its_scope(name, first)
    leaves_the_sets_alone(name, first)
    repeats_to_the_bit(name, first, run(name, folder / "second"))
