"""A model on a task before there are weights: its shapes, the lengths of its texts, what its passes cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from bench.contracts import Context
from bench.data import Stage
from bench.model import models
from bench.model.architecture import layers
from bench.model.encoding import Encoding
from bench.model.precision import dtype
from bench.registry import load
from bench.run.memory import resident_bytes
from bench.run.plan import Request, splits
from bench.run.speed import Speed, speed
from bench.run.spoken import encoding
from bench.run.workload import Asked, Lengths, of_pairs, of_probes, shape
from bench.train.footprint import Pass, count
from bench.train.masking import adapted

CRITICAL = 0.1
"""Share of the neurons that SIMU is taken to find critical."""
WARM = 40 << 20
"""Bytes; found by watching a process on a CPU measure its first model."""


@dataclass(frozen=True, eq=False)
class Site:
    """A model and a task: shapes, lengths and the machine, each found once.

    With `smallest` one text is in a pass, and layers are checkpointed: the least memory that will do. `threads` are
    those of a worker on a CPU. `given` is the speed of a machine that is not here.
    """

    request: Request
    task: str
    smallest: bool = False
    threads: int = 1
    given: Speed | None = None

    @cached_property
    def config(self) -> PretrainedConfig:
        """The model's shapes."""
        return shape(self.request.model, self.task)

    @cached_property
    def asked(self) -> Asked:
        """What is measured."""
        return of_probes(self.encoded, splits(self.task, self.request.source).probes)

    def lengths(self, name: str) -> Lengths:
        """Lengths of a training set: "forget", "retain" or "general"."""
        return _of_set(self, name)

    def taught(self, stage: Stage) -> Lengths:
        """Lengths of what base, target or retrain are taught."""
        return _of_lessons(self, stage)

    @cached_property
    def encoded(self) -> Encoding:
        """How the model's texts become ids."""
        return encoding(self.request, self.task)

    @cached_property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return dtype(self.request.precision)

    @cached_property
    def weights(self) -> int:
        """Numbers that the model is made of."""
        with torch.device("meta"):
            return sum(p.numel() for p in _blank(self.config, self.dtype).parameters())

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return self.weights * self.dtype.itemsize

    @cached_property
    def baseline(self) -> int:
        """What a process holds before there is a model; an accelerator's counter starts at nothing."""
        return resident_bytes() if models.device() == "cpu" else 0

    @property
    def warm(self) -> int:
        """What the first passes leave in a process: code that is loaded late, kernels that are made for shapes."""
        return WARM if models.device() == "cpu" else 0

    @cached_property
    def speed(self) -> Speed:
        """Of the machine, with products as wide as the model's."""
        if self.given:
            return self.given
        dtype = torch.float32 if self.request.precision == "float32" else torch.bfloat16
        return speed(int(self.config.get_text_config().hidden_size), models.device(), dtype, self.threads)

    def count(self, rows: int, width: int, labels: int, **how: Any) -> Pass:
        """Cost of a pass that trains all weights, or those of `scope` alone."""
        return _count(self, rows, width, labels, **how)


@cache
def _of_set(site: Site, name: str) -> Lengths:
    return of_pairs(site.encoded, getattr(splits(site.task, site.request.source), name))


@cache
def _of_lessons(site: Site, stage: Stage) -> Lengths:
    return of_pairs(site.encoded, splits(site.task, site.request.source).lessons(stage))


@cache
def _count(site: Site, rows: int, width: int, labels: int, scope: Any = None, **how: Any) -> Pass:
    how["autocast"] = how.get("autocast", False) or site.request.precision == "mixed"
    fixed = {"dtype": site.dtype, "masked": models.device() == "cpu", "labels": labels, **how}
    if scope is None:
        return count(site.config, rows, width, **fixed)
    with torch.device("meta"):
        model = _blank(site.config, site.dtype)
        with adapted(scope, _context(model)):
            names = frozenset(_moving(scope, model))
            if all(name in names for name, _ in model.named_parameters()):
                return site.count(rows, width, labels, **how)
            return count(model, rows, width, trained=names, **fixed)


def weights_moved(site: Site, scope: Any) -> int:
    """Numbers that a scope lets move; of critical neurons, which nobody knows yet, the share `CRITICAL` of all."""
    with torch.device("meta"):
        model = _blank(site.config, site.dtype)
        with adapted(scope, _context(model)):
            return _weights(scope, model)


def _weights(scope: Any, model: PreTrainedModel) -> int:
    named = dict(model.named_parameters(remove_duplicate=False))
    return round(sum(named[name].numel() * share for name, share in _moving(scope, model).items()))


def _moving(scope: Any, model: PreTrainedModel) -> dict[str, float]:
    """Names of the parameters of which a scope moves something, and how much of each."""
    if hasattr(scope, "how_many"):  # single weights, which nobody knows yet; nor does anybody where they are
        pool = scope.pool(model)
        total = sum(p.numel() for p in pool.values())
        return dict.fromkeys(pool, scope.how_many(total, lambda: _weights(load("scope", "simu")(), model)) / total)
    if not hasattr(scope, "masks"):
        return dict.fromkeys(scope.select(_context(model)), 1.0)
    found = layers(model, scope.down)
    share = {"all": 1.0, "none": 0.0}.get(scope.neurons, CRITICAL)
    names = {name: 1.0 for layer in found for name in layer.attention} if scope.attention else {}
    return names | ({f"{layer.down_name}.weight": share for layer in found} if share else {})


def _context(model: PreTrainedModel) -> Context:
    """What a scope sees that looks at nothing but the model."""
    return Context(cast(Any, SimpleNamespace(model=model)), [], [], "", 0, Path(), lambda *_: None)


def _blank(config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    return cast(PreTrainedModel, AutoModelForCausalLM.from_config(config, dtype=dtype))
