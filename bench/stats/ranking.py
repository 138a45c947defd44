"""Ranks and letters that never contradict a test, and which models have collapsed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import ascii_lowercase


def ranks(best_first: Sequence[str], beats: Callable[[str, str], bool]) -> dict[str, int]:
    """1 for what nobody beats; else one more than the lowest rank among those that beat it.

    So a method that is significantly better always has the better rank, whatever else is or is not shown.

    Args:
        best_first: methods by the number that they are ranked by. beats: whether the first of two is significantly
            better than the second.
    """
    found: dict[str, int] = {}
    for i, method in enumerate(best_first):
        found[method] = 1 + max((found[other] for other in best_first[:i] if beats(other, method)), default=0)
    return found


def letters(best_first: Sequence[str], differ: Callable[[str, str], bool]) -> dict[str, str]:
    """Compact letters: two methods share one if and only if no difference between them is shown.

    A letter for each largest set of methods of which no two differ (Piepho 2004), in the order of their best.
    """
    cliques: list[frozenset[int]] = [frozenset(range(len(best_first)))] if best_first else []
    for i in range(len(best_first)):
        for j in range(i + 1, len(best_first)):
            if not differ(best_first[i], best_first[j]):
                continue
            split = [clique - {method} for clique in cliques for method in (i, j)]
            cliques = [c for c in dict.fromkeys(split) if not any(c < other for other in split)]
    ordered = sorted(cliques, key=sorted)
    named = {clique: _letter(n) for n, clique in enumerate(ordered)}
    return {method: "".join(named[c] for c in ordered if i in c) for i, method in enumerate(best_first)}


def _letter(n: int) -> str:
    return ascii_lowercase[n] if n < 26 else _letter(n // 26 - 1) + ascii_lowercase[n % 26]


def below_floor(value: float | None, lo: float | None, hi: float | None, floor: float) -> str:
    """ "apart" where the whole interval of a number is below the floor, "near" where part of it or only the number is;
    else "". A number without an interval shows nothing and is near at most.
    """
    if value is None:
        return ""
    if hi is not None and hi < floor:
        return "apart"
    return "near" if min(value if lo is None else lo, value) < floor else ""
