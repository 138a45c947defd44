"""Registering a part of a method, a task, a metric, a probe or an attack under its name: decorators of classes."""

from __future__ import annotations

from collections.abc import Callable

from bench.registry import register


def _part(kind: str, *names: str) -> Callable[[type], type]:
    def declare(cls: type) -> type:
        for name in names:
            register(kind, name, cls)
        return cls

    return declare


def objective(name: str) -> Callable[[type], type]:
    """Register a loss under `name`."""
    return _part("objective", name)


def optimizer(name: str) -> Callable[[type], type]:
    """Register an optimizer under `name`."""
    return _part("optimizer", name)


def scope(name: str) -> Callable[[type], type]:
    """Register a choice of weights under `name`."""
    return _part("scope", name)


def attachment(name: str) -> Callable[[type], type]:
    """Register what can be put on a model under `name`: a frozen dataclass, a `bench.model.attachments.Attachment`."""

    def declare(cls: type) -> type:
        register("attachment", name, cls)
        cls.name = name  # type: ignore[attr-defined]
        return cls

    return declare


def task(*names: str) -> Callable[[type], type]:
    """Register a task under each of `names` ("tofu:forget10"); what stands before the colon is their group.

    The class is called with the name to make the task.
    """
    return _part("task", *names)


def metric(name: str) -> Callable[[type], type]:
    """Register a metric under `name`."""
    return _part("metric", name)


def probe(name: str) -> Callable[[type], type]:
    """Register what `--probes` measures under `name`."""
    return _part("probe", name)


def attack(name: str) -> Callable[[type], type]:
    """Register what `--attacks` does to a model under `name`."""
    return _part("attack", name)
