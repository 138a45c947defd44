"""Which answer a model puts first, of the true ones, a false one and others of the same kind: RESTOR's items.

A fact that is asked for has texts of three roles: "true" (one or more), "false" (the one that stands in its place) and
"other".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

Array = np.ndarray
ROLES = ("true", "false", "other")
_WORDS = re.compile(r"\w+")


def first(level: Array, role: Array, owner: Array, count: int) -> Array:
    """How the first place is shared among the roles, [3, count]; each column adds up to 1.

    The candidates with an item's largest level share it evenly. An item that cannot be scored is NaN: one that has a
    candidate whose level is no finite number, or no true or no false one.

    Args:
        level: [N] of each candidate. role: [N], its place in `ROLES`. owner: [N], the item that it belongs to.
    """
    best = np.full(count, -np.inf)
    with np.errstate(invalid="ignore"):  # a NaN, which goes through
        np.maximum.at(best, owner, level)
    ties = level == best[owner]
    shares = np.stack([np.bincount(owner[ties & (role == n)], minlength=count) for n in range(len(ROLES))])
    shares = np.where(_scored(level, role, owner, count), shares, np.nan)
    return shares / shares.sum(axis=0)


def margin(level: Array, role: Array, owner: Array, count: int) -> Array:
    """Mean level of the true answers less that of the false one, [count]; NaN as in `first`."""
    scored = _scored(level, role, owner, count)
    known = np.where(np.isfinite(level), level, 0.0)

    def average(n: int) -> Array:
        chosen = role == n
        number = np.bincount(owner[chosen], minlength=count)
        return np.bincount(owner[chosen], known[chosen], minlength=count) / np.where(scored, number, np.nan)

    return average(0) - average(1)


def _scored(level: Array, role: Array, owner: Array, count: int) -> Array:
    sound = np.bincount(owner[~np.isfinite(level)], minlength=count) == 0
    there = [np.bincount(owner[role == n], minlength=count) > 0 for n in (0, 1)]
    return np.asarray(sound & there[0] & there[1])


def says(generation: str, true: Sequence[str]) -> float:
    """1 if the first line holds all words of a true answer in a row, but for case and marks; NaN without a true one."""
    line = f" {' '.join(_plain(next(iter(generation.strip().splitlines()), '')))} "
    wanted = [" ".join(words) for text in true if (words := _plain(text))]
    return float(any(f" {text} " in line for text in wanted)) if wanted else float("nan")


def _plain(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())
