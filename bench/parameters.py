"""What a part lets its user choose, and within which bounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bench.errors import UsageError


def param(
    default: Any,
    doc: str,
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    choices: Sequence[Any] | None = None,
    search: Sequence[Any] | None = None,
    later: bool = False,
) -> Any:
    """A documented, bounded field of a component's frozen dataclass.

    The dataclass is the only source of a component's parameters: command-line overrides, validation, the content key,
    the record and the docs all read it. `None` as default makes the parameter optional; bounds do not apply to `None`.

    Args:
        search: where `bench tune` looks (`bench.run.space`): a list of values, or (from, to, scale) with the scale
            "linear", "log", or "rate" for a learning rate, said of a model that was fine-tuned at 1e-5. The default
            lies in it. Without, the parameter stays as it is.
        later: it came when there were cells already, which were made as its default does; so no key says that.

    Raises:
        UsageError: on construction of the dataclass through `build_part`, when a value is out of bounds.
    """
    bounds = {"gt": gt, "ge": ge, "lt": lt, "le": le, "choices": tuple(choices) if choices else None}
    return dataclasses.field(default=default, metadata={"doc": doc, **bounds, "search": search, "later": later})


def check_value(owner: str, spec: dataclasses.Field[Any], value: Any) -> None:
    """Raise `UsageError` unless `value` lies within the bounds that `param` declared."""
    if value is None and spec.default is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{owner}.{spec.name} must be a finite number, not {value!r}")
    meta = spec.metadata
    tests = (
        ("gt", lambda v, b: v > b, "greater than"),
        ("ge", lambda v, b: v >= b, "at least"),
        ("lt", lambda v, b: v < b, "less than"),
        ("le", lambda v, b: v <= b, "at most"),
        ("choices", lambda v, b: v in b, "one of"),
    )
    for key, holds, words in tests:
        bound = meta.get(key)
        if bound is not None and not holds(value, bound):
            raise UsageError(f"{owner}.{spec.name} must be {words} {bound}, not {value!r}")
