"""Which methods share a rank, and which are set apart instead of ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def rank_groups(best_first: Sequence[str], better: Callable[[str, str], bool]) -> dict[str, int]:
    """Ranks from 1: the first method leads a group, and so does each that its leader is significantly better than.

    Args:
        best_first: methods by the number that they are ranked by.
        better: whether the first of two is significantly better than the second.
    """
    ranks: dict[str, int] = {}
    leader = ""
    for method in best_first:
        if not leader or better(leader, method):
            leader, rank = method, len(set(ranks.values())) + 1
        ranks[method] = rank
    return ranks


def set_apart(
    values: Mapping[str, float | None], target: Mapping[str, float | None], floors: Mapping[str, float]
) -> str:
    """Why a method is set apart: a number that fell below a share of the target's; "" if none did.

    What is forgotten by a model that has lost everything is no success. A number that either lacks says nothing.

    Args:
        values: of the method, by what is measured. target: of the target model.
        floors: the share of the target's value that must be left, by what is measured.
    """
    reasons = []
    for name, floor in floors.items():
        value, whole = values.get(name), target.get(name)
        if value is not None and whole is not None and value < floor * whole:
            reasons.append(f"{name.replace('_', ' ')} {value:.3f} is below {floor:g} of the target's {whole:.3f}")
    return "; ".join(reasons)
