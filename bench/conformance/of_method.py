"""What every method must satisfy, each with what its author can do where it is not met.

Methods are judged on a toy: a Llama of two layers that knows eight pairs, of which it shall lose four. It shows whether
a method is correct, never whether it is strong: how much is forgotten in five steps is nobody's business here.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import registry
from bench.api import LossTerms, Method
from bench.conformance.toy import Toy, context, is_gradient_method, run, steps
from bench.conformance.unmet import Demand, Unmet
from bench.errors import BenchError
from bench.model import models
from bench.model.architecture import neuron_axis
from bench.registry import Declaration
from bench.run.compose import compose
from bench.run.keeping import built, refuse_foreign
from bench.run.resolve import resolve
from bench.train.batches import answer_logps
from bench.train.masking import adapted, trainable
from bench.train.parts import Room, cut
from bench.train.unlearning import selected

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
    """Every number of the training curve, every weight, and what is attached leaves every answer possible."""
    odd = {key for line in toy.curve.lines for key, value in line.items() if not np.isfinite(value)}
    if odd:
        raise Unmet(f"{name}: {', '.join(sorted(odd))} of its LossTerms is not finite")
    bad = [key for key, value in toy.after.model.named_parameters() if not bool(torch.isfinite(value).all())]
    if bad:
        raise Unmet(f"{name} leaves weights that are not finite: {', '.join(bad[:3])}")
    items = [*toy.sets["forget"][0], *toy.sets["retain"][0]] if toy.after.attached else []
    if not bool(torch.isfinite(answer_logps(toy.after, items)).all()):
        raise Unmet(
            f"{name}: some answers have a log-probability that is not finite. What is refused must stay possible: keep "
            "a share of the model's own distribution, as in log((1 - leak) refusal + leak p)"
        )


def returns_a_model(name: str, toy: Toy) -> None:
    """A transform's own return is easily forgotten."""
    if not isinstance(toy.after, models.LM):
        raise Unmet(
            f"{name} returns {type(toy.after).__name__}, not the model with its tokenizer: end its transform with "
            "`return context.lm`"
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
    refuse_foreign(name, built(toy.after.model), built(loaded.model))


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
        raise Unmet(f"{name} attaches to the model and moves {moved[0]} as well. Taken off, it must leave the target")


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
        if chosen is not None and chosen.dtype == torch.bool:
            same = same | chosen
        elif chosen is not None:
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
    made = steps(objective, given)

    def loss() -> torch.Tensor:
        try:
            terms = objective.loss(made.whole(lm, made.drawn[0]))
        except KeyError as error:
            raise Unmet(f"{name}: its loss asks for {error}, though it says `retain = False`") from error
        except BenchError as error:
            raise Unmet(f"{name}: {error}") from error
        if not isinstance(terms, LossTerms):
            what = type(terms).__name__
            raise Unmet(f'{name}: its loss returns {what}. Write return LossTerms(total, {{"forget": forget, ...}})')
        return terms.total

    scope = parts["scope"]
    with adapted(scope, given), trainable(lm.model, selected(given, scope, made)) as weights:
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
    """A batch is run in parts of like length: their losses, weighted by their rows, are the batch's."""
    given, objective = context(folder), compose(name, "tiny").parts["objective"]
    lm = given.lm
    lm.model.eval()
    made = steps(objective, given)
    room = Room(lm, made.sets)
    with torch.no_grad():  # elsewhere than at the start, where many a term is 0
        for i, weight in enumerate(lm.model.parameters()):
            weight.mul_(1 + 0.05 * (-1) ** i)

    def loss(tokens: float, a_pass: float = math.inf) -> float:
        parts = cut(made.drawn[0], made.sets, tokens, a_pass=a_pass)
        found = [(p.share, made.step(lm.model, room.batches(p), p, 0.0)) for p in parts]
        return sum(share * objective.loss(step).total.item() for share, step in found)

    whole, apart = loss(math.inf), loss(1)
    if abs(whole - apart) > 1e-5 * max(1.0, abs(whole)):
        raise Unmet(
            f"{name}: the loss of a batch is {whole:.6g}, that of its rows one by one {apart:.6g}, so it would depend "
            "on how batches are cut. Take means over items with .mean() and means over labels with "
            "step.forget.mean(values) or .cross_entropy(), which know of the whole batch"
        )
    sorted_ = loss(1, 1.0)
    if abs(whole - sorted_) > 1e-5 * max(1.0, abs(whole)):
        raise Unmet(
            f"{name}: the loss of a batch is {whole:.6g}, and {sorted_:.6g} where other retain rows stand beside the "
            "forget rows, which are drawn by chance. Take a mean over each set by itself"
        )


def demands(name: str, folder: Path) -> Iterator[Demand]:
    """Everything that is demanded of a method, or of a composition such as `npo+adamw+mlp`; `folder` is for its cache.

    They come one by one, since what is asked next depends on what the method is.
    """
    declared = registry.scan().get(("method", name))
    yield Demand("it can be imported", lambda: resolve(name), declared, opens=True)
    method, at = resolve(name), partial(_declared, resolve(name))
    if declared:
        yield Demand("it says what it is and where it comes from", lambda: says_what_it_is(name), declared)
    gradient = is_gradient_method(name)
    for kind in ("objective", "optimizer", "scope") if gradient else ():
        part = getattr(method, kind)
        says = f"its {kind} {part} is frozen, and its parameters are explained"
        yield Demand(says, partial(part_is_documented, kind, part), at(kind), opens=True)
    yield Demand("its parameters can be set by text", lambda: parameters_round_trip(name), at("objective"), opens=True)
    if gradient:
        yield Demand(
            "its loss has a gradient of its own, and a small step lowers it",
            lambda: lowers_its_own_loss(name, folder / "step"),
            at("objective"),
        )
        yield Demand(
            "a batch run in parts has the loss of the whole",
            lambda: adds_up_in_parts(name, folder / "parts"),
            at("objective"),
        )
    first = cache(lambda: run(name, folder / "first"))
    yield Demand("it runs on the toy", first, at("objective"), opens=True)
    yield Demand("it returns a model", lambda: returns_a_model(name, first()), at("objective"), opens=True)
    yield Demand("every loss and weight is finite", lambda: stays_finite(name, first()), at("objective"))
    yield Demand(
        "the model is built as it was before", lambda: leaves_the_model_as_it_was_built(name, first()), at("scope")
    )
    yield Demand("the model can be saved", lambda: can_be_saved(name, first(), folder / "saved"), at("scope"))
    yield Demand("it says what is attached", lambda: says_what_is_attached(name, first()), at("scope"))
    yield Demand("only what its scope selects has moved", lambda: keeps_to_its_scope(name, first()), at("scope"))
    yield Demand("the sets are as they were", lambda: leaves_the_sets_alone(name, first()), at("objective"))
    yield Demand(
        "run again, it gives the same to the bit",
        lambda: repeats_to_the_bit(name, first(), run(name, folder / "second")),
        at("objective"),
    )


def _declared(method: Method, kind: str) -> Declaration | None:
    """The declaration of a part of the method; its own where it has no such part."""
    known = registry.scan()
    return known.get((kind, getattr(method, kind))) or known.get(("method", method.name))


def of_method(name: str, folder: Path) -> None:
    """Raise what the first demand raises that the method does not meet."""
    for demand in demands(name, folder):
        demand.meet()
