"""A demand, and the one way a part fails it: what was found, and what its author can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bench.registry import Declaration


class Unmet(AssertionError):
    """A part does not keep its contract; the message says what to do."""


class Demand(NamedTuple):
    """What is asked of a part.

    Attributes:
        says: what holds where it is met.
        meet: raises `Unmet`, or whatever the part's own code raises, where it is not.
        at: the declaration that is to be mended.
        opens: whether nothing else can be asked where it is not met.
    """

    says: str
    meet: Callable[[], object]
    at: Declaration | None = None
    opens: bool = False
