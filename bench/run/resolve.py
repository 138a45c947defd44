"""From a method's name to the declaration, the classes and the parameters of its parts."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from bench.api import Method, Schedule
from bench.errors import UsageError
from bench.registry import find, load


def resolve(name: str) -> Method:
    """The method of that name, or the composition `objective+optimizer+scope`.

    Raises:
        UsageError: unknown name or part, with near names.
    """
    plain, at, _ = name.partition("@")
    if at:
        return dataclasses.replace(resolve(plain), name=name)
    if "+" not in name:
        return typing.cast(Method, load("method", name))
    named = name.split("+")
    objective, optimizer, scope, *rest = named + ["", "adamw", "all"][len(named) :]
    if rest:
        raise UsageError(f"'{name}' has too many parts. Write objective+optimizer+scope, such as npo+sophia+simu.")
    doc = " + ".join(find(k, n).doc for k, n in zip(("objective", "optimizer", "scope"), (objective, optimizer, scope)))
    return Method(name, doc, objective, optimizer, scope)


def parameters(name: str) -> dict[str, dataclasses.Field[Any]]:
    """Every parameter of a method, by name."""
    return {f.name: f for cls in classes_of(resolve(name))[0].values() for f in fields_of(cls)}


def classes_of(method: Method) -> tuple[dict[str, type], dict[str, str]]:
    """The dataclasses of a method's parts and the module that declares each.

    Raises:
        UsageError: an unknown part, or two parts that have a parameter of one name.
    """
    if method.transform is not None:
        cls = method.transform if isinstance(method.transform, type) else None
        return ({"transform": cls} if cls else {}), {method.name: method.transform.__module__}
    named = {"objective": method.objective, "optimizer": method.optimizer, "scope": method.scope}
    classes: dict[str, type] = {kind: load(kind, name) for kind, name in named.items()}
    classes["schedule"] = Schedule
    seen: dict[str, str] = {}
    for kind, cls in classes.items():
        for spec in fields_of(cls):
            if spec.name in seen:
                raise UsageError(
                    f"{method.name}: both its {seen[spec.name]} and its {kind} have a parameter '{spec.name}'"
                )
            seen[spec.name] = kind
    return classes, {f"{k} {n}": find(k, n).module for k, n in named.items()}


def fields_of(part: Any) -> tuple[dataclasses.Field[Any], ...]:
    """The parameters of a part, or none of what declares none."""
    return dataclasses.fields(part) if dataclasses.is_dataclass(part) else ()
