"""What a tuning searches: the space that the parts of a method declare, and the settings drawn from it.

Trial 1 is the source's default. The others are points of one scrambled Sobol sequence, the same for every method: the
learning rate is its first coordinate, so trial k of all methods has the same place in the range of their rates.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from bench.api import check_value
from bench.errors import UsageError
from bench.model.recipes import PRETRAINED, SCRATCH, finetuning
from bench.run.compose import MATCHED
from bench.run.resolve import parameters, resolve

RATE = "lr"
SCALES = ("linear", "log", "rate")
WIDEST = 8
"""Coordinates of the sequence; a method uses as many as it has axes."""


@dataclass(frozen=True)
class Axis:
    """One parameter: a list of values, or a range on a scale. `default` is the source's, in units of the model."""

    name: str
    default: Any
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def at(self, u: float) -> Any:
        """The value at place `u` in [0, 1) of the axis."""
        if self.values:
            return self.values[int(u * len(self.values))]
        if self.log:
            return _short(math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low))))
        return _short(self.low + u * (self.high - self.low))

    def __str__(self) -> str:
        if self.values:
            return f"{self.name} in {', '.join(map(str, self.values))}"
        return f"{self.name} from {self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


def space(name: str, model: str, task: str) -> tuple[Axis, ...]:
    """What is searched of a method, the learning rate first.

    Raises:
        UsageError: a control or a variant, a method that declares nothing to search, a space without its default.
    """
    method = resolve(name)
    if method.control or "@" in name:
        what = "is a control: it has no parameters" if method.control else "has its parameters in its name"
        raise UsageError(f"{name} {what}. Name methods to tune, such as fo-npo.")
    searched = {n: spec for n, spec in parameters(name).items() if spec.metadata.get("search") is not None}
    if not searched:
        raise UsageError(
            f"{name} has no space: none of its parameters says where to look. Give one `search=`, such as "
            'lr: float = param(5e-6, "learning rate", search=(5e-7, 2e-4, "rate")).'
        )
    ordered = sorted(searched, key=lambda n: n != RATE)
    return tuple(_axis(name, searched[n], _unit(model, task)) for n in ordered)


def draws(axes: Sequence[Axis], trials: int, seed: int) -> list[dict[str, Any]]:
    """The settings of a tuning, trial 1 first: the defaults, then points of the sequence."""
    from scipy.stats import qmc

    if len(axes) > WIDEST:
        raise UsageError(f"{len(axes)} parameters are searched; at most {WIDEST} can be. Leave `search=` out of some.")
    sequence = qmc.Sobol(WIDEST, scramble=True, rng=seed)
    points = sequence.random_base2(math.ceil(math.log2(max(1, trials))))[: trials - 1]
    return [{a.name: a.default for a in axes}] + [
        {a.name: a.at(u) for a, u in zip(axes, p, strict=False)} for p in points
    ]


def _axis(method: str, spec: dataclasses.Field[Any], unit: float) -> Axis:
    said, default = spec.metadata["search"], cast(Any, spec.default)
    if isinstance(said, list):
        found = Axis(spec.name, default, tuple(said))
        inside = default in said
        ends = said
    else:
        low, high, scale = said
        if scale not in SCALES:
            raise UsageError(f"{method}.{spec.name} is searched on the scale '{scale}'. Known: {', '.join(SCALES)}.")
        by = unit if scale == "rate" else 1.0
        inside = low <= default <= high
        found = Axis(spec.name, _short(default * by), (), low * by, high * by, scale != "linear")
        ends = [found.low, found.high]
    if not inside:
        raise UsageError(
            f"{method}.{spec.name}: its default {default} is not in the space {said}, and trial 1 is the default. "
            "Widen the space."
        )
    for value in ends:
        check_value(method, spec, value)
    return found


def _unit(model: str, task: str) -> float:
    """What rates are multiplied by: those of the sources are of models that were fine-tuned at 1e-5.

    Models from scratch are taught at their base's own rate, at which every step would undo what it knows; a tenth of
    that is taken.
    """
    share = 0.1 if model in SCRATCH else 1.0
    return share * finetuning(model, task).lr / PRETRAINED.lr


def _short(value: float) -> float:
    """Four digits: what is typed is what is run."""
    return float(f"{value:.4g}")


def without(names: Sequence[str]) -> list[str]:
    """The methods that can be tuned among those that a group stands for: no controls, no matched cells."""
    return [name for name in names if not resolve(name).control and not name.endswith(MATCHED)]
