"""What an objective may ask for beside the log-probabilities of its batches; it pays for what it asks for only.

An objective says so with `needs`, one of these or a tuple, as a class variable or, where it depends on a parameter, a
property. What the model itself gives (`Step.logits`) needs no asking.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bench.errors import UsageError

KINDS = ("refusal", "plausible", "sampled")
"""Alternatives: a line that says one does not know; another answer of that kind; what the start model says too."""


class Need(NamedTuple):
    """One thing that is asked for: what, of which sets, and the layer or the kind of alternatives."""

    what: str
    sets: tuple[str, ...] = ()
    of: int | str = ""


def hidden(layer: int, *start: str) -> Need:
    """`Step.hidden(set)`: the model's hidden states behind a decoder layer; negative counts from the last.

    Of the sets named in `start` also `Step.start_hidden(set)`, those of the model that unlearning started from.
    """
    return Need("hidden", start, layer)


def start_logits(*sets: str) -> Need:
    """`Step.start_logits(set)`: the logits of the model that unlearning started from, at every label."""
    return Need("logits", sets)


def start_logps(*sets: str) -> Need:
    """`Step.start_logps(set)`: the log-probability of every whole answer under the model that unlearning started from.

    Of the forget set `reference = True` asks for the same, as `Step.reference`.
    """
    return Need("logps", sets)


def alternatives(kind: str) -> Need:
    """`Step.alternative`: for every forget item of the batch the same prompt with another answer, one of KINDS.

    In each epoch another one is drawn. The set is called "alternative" where sets are named.
    """
    if kind not in KINDS:
        raise ValueError(f"alternatives are {', '.join(KINDS)}, not {kind!r}")
    return Need("alternatives", (), kind)


def needs_of(objective: Any) -> tuple[Need, ...]:
    """Everything an objective asks for; `reference = True` is the start model's log-probabilities of forget answers."""
    found = getattr(objective, "needs", ())
    found = (found,) if isinstance(found, Need) else tuple(found)
    if odd := [need for need in found if not isinstance(need, Need)]:
        raise UsageError(
            f"needs = {odd[0]!r} is nothing that can be asked for. Write start_logits('retain'), start_logps(...), "
            "hidden(LAYER) or alternatives(KIND), from bench.api."
        )
    return (*found, start_logps("forget")) if getattr(objective, "reference", False) else found


def layer_of(objective: Any) -> int | None:
    """The layer whose hidden states an objective asks for.

    Raises:
        UsageError: it asks for several, which `Step.hidden(set)` could not tell apart.
    """
    found = _one(objective, "hidden", "layer")
    return None if found is None else int(found)


def alternatives_of(objective: Any) -> str:
    """The kind of alternative answers that an objective asks for; "" for none.

    Raises:
        UsageError: it asks for several, which `Step.alternative` could not tell apart.
    """
    return str(_one(objective, "alternatives", "kind of alternatives") or "")


def sets_of(objective: Any) -> tuple[str, ...]:
    """The sets that a batch of an objective holds items of."""
    retain = ("retain",) if getattr(objective, "retain", True) else ()
    return ("forget", *retain, *(("alternative",) if alternatives_of(objective) else ()))


def check_sets(objective: Any) -> None:
    """See that what is asked of the start model is asked of sets that a batch has.

    Raises:
        UsageError: it is asked of another.
    """
    there = sets_of(objective)
    for need in needs_of(objective):
        if missing := next((name for name in need.sets if name not in there), None):
            raise UsageError(
                f"the loss needs {need.what} of the {missing} set, but its batches hold {', '.join(there)}. "
                "The retain set is there unless retain = False, the alternative set with alternatives(KIND)."
            )


def _one(objective: Any, what: str, named: str) -> int | str | None:
    """What all needs of one sort agree on."""
    found = list(dict.fromkeys(need.of for need in needs_of(objective) if need.what == what))
    if len(found) > 1:
        raise UsageError(f"a loss can ask for one {named}, not for {' and '.join(map(str, found))}")
    return found[0] if found else None
