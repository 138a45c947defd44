"""What every attack must satisfy, each with what its author can do where it is not met."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch

from bench import registry
from bench.api import Attack, Reading
from bench.attacks._subject import Subject
from bench.conformance.toy import subject, toy_splits
from bench.conformance.unmet import Demand, Unmet

NEEDS = ("questions", "probabilities", "weights", "target")
INJECTS = ("nothing", "form", "related facts", "forget facts")


def demands(name: str) -> Iterator[Demand]:
    """What a run needs of an attack: it is tried on the toy. One that the toy has nothing for is only read."""
    at = registry.find("attack", name)
    yield Demand("it can be imported", lambda: registry.load("attack", name)(), at, opens=True)
    made: Attack = registry.load("attack", name)()
    yield Demand("it says what it is", lambda: _says_what_it_is(made, name), at, opens=True)
    if getattr(made, "available", lambda data: "")(toy_splits()):
        return
    under_attack = subject()
    before = _state(under_attack)
    short = _short(made)
    readings = cache(lambda again: list(short.run(under_attack if not again else subject())))
    yield Demand("it runs on the toy", lambda: readings(False), at, opens=True)
    yield Demand("its readings have a value for each item, within 0 and 1", lambda: _fits(readings(False), made), at)
    yield Demand("it leaves the model as it was", lambda: _is_left_alone(under_attack, before), at)
    yield Demand("it finds the same again", lambda: _repeats(readings), at)


def of_attack(name: str) -> None:
    """Raise what the first demand raises that the attack does not meet."""
    for demand in demands(name):
        demand.meet()


def _short(made: Attack) -> Attack:
    """The same with its first two `steps` alone, where it has such a field: one that trains takes seconds then."""
    if "steps" not in {field.name for field in dataclasses.fields(made)}:  # type: ignore[arg-type]
        return made
    found: Attack = dataclasses.replace(made, steps=made.steps[:2])  # type: ignore[type-var, attr-defined]
    return found


def _says_what_it_is(made: Attack, name: str) -> None:
    if not dataclasses.is_dataclass(made) or not made.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise Unmet(f"write @dataclass(frozen=True) above the class of '{name}': its fields are its content key")
    for told in ("title", "light", "needs", "injects", "axis", "at", "from_plain"):
        if not hasattr(made, told):
            raise Unmet(f"'{name}' has no `{told}`. Say it in the class, with ClassVar, as bench.api.Attack does")
        if told in {field.name for field in dataclasses.fields(made)}:
            raise Unmet(f"`{told}` of '{name}' is a field. Write {told}: ClassVar = ...")
    if not registry.find("attack", name).doc or not made.title:
        raise Unmet(f"say in the docstring of '{name}' what is done to the model, and give it a title")
    for told, known in (("needs", NEEDS), ("injects", INJECTS)):
        if getattr(made, told) not in known:
            raise Unmet(f"its `{told}` is {getattr(made, told)!r}. Write one of {', '.join(map(repr, known))}")
    for told in ("light", "from_plain", "asked_only"):
        if not isinstance(getattr(made, told, False), bool):
            raise Unmet(f"its `{told}` is {getattr(made, told)!r}. Write True or False")
    if not isinstance(made.axis, str) or not (made.at is None or (made.axis and isinstance(made.at, int | float))):
        raise Unmet(f"its axis is {made.axis!r} and `at` {made.at!r}. Name what `step` counts, and a step or None")


def _fits(readings: list[Any], made: Attack) -> None:
    if not readings or not all(isinstance(each, Reading) for each in readings):
        raise Unmet("its `run` yields no readings. Write: yield Reading(line, setting, step, known)")
    items, kept = len(subject().items), len(subject().kept)
    seen = set()
    for r in readings:
        place = f"the reading {r.line!r}, {r.setting!r}, step {r.step:g}"
        if (r.line, r.setting, r.step) in seen:
            raise Unmet(f"{place} is there twice. Give what differs a line, a setting or a step of its own")
        seen.add((r.line, r.setting, r.step))
        if not (isinstance(r.line, str) and isinstance(r.setting, str) and math.isfinite(r.step)):
            raise Unmet(f"{place}: line and setting are texts, and step is a finite number")
        for told, values, size in (("known", r.known, items), ("kept", r.kept, kept)):
            if values is None and told == "kept":
                continue
            if np.shape(values) != (size,):
                raise Unmet(f"{place}: `{told}` has the shape {np.shape(values)}, not ({size},). NaN is not scored")
            if np.any((values < 0) | (values > 1 + 1e-9)):
                raise Unmet(f"{place}: `{told}` leaves 0 and 1. Give a share or a probability, not its logarithm")
    if all(np.isnan(r.known).all() for r in readings):
        raise Unmet("no item is scored in any of its readings")
    if unknown := set(getattr(made, "controls", ())) & {""}:
        raise Unmet(f"a control is a line with a name, not {unknown.pop()!r}")


def _state(of: Subject) -> dict[str, Any]:
    model = of.lm.model
    return {
        "weights": {name: tensor.detach().clone() for name, tensor in model.state_dict().items()},
        "modules": [(name, type(module), module.training) for name, module in model.named_modules()],
        "gradients": [(name, p.requires_grad, p.grad is None) for name, p in model.named_parameters()],
    }


def _is_left_alone(of: Subject, before: dict[str, Any]) -> None:
    after = _state(of)
    weights = after["weights"]
    changed = [name for name, was in before["weights"].items() if not torch.equal(was, weights.get(name, was))]
    if changed or before["weights"].keys() != weights.keys():
        raise Unmet(f"it changes {', '.join(changed[:3]) or 'the parameters'} of the model. Work on subject.copy()")
    for told in ("modules", "gradients"):
        if before[told] != after[told]:
            raise Unmet(f"the {told} of the model are others afterwards. Work on subject.copy()")


def _repeats(readings: Callable[[bool], list[Reading]]) -> None:
    first, second = readings(False), readings(True)
    same = len(first) == len(second) and all(
        a[:3] == b[:3] and all(_equal(x, y) for x, y in zip(a[3:], b[3:], strict=True))
        for a, b in zip(first, second, strict=False)
    )
    if not same:
        raise Unmet('a second run finds something else. Draw from subject.stream("a name"), and from nothing else')


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b if a is None or b is None else bool(np.array_equal(a, b, equal_nan=True))
