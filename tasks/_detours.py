"""What attacks ask and teach of real files, where nothing may be invented about their authors and documents."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bench.api import Asking, Family
from tasks._embedded.facts import listed

WRAPPED = {
    "asked politely": "Could you please tell me: {}",
    "asked as a friend": "A friend of mine would like to know this. {}",
    "asked to recall": "Try to remember and answer as exactly as you can. {}",
}
"""A question within a sentence, as any user might say it."""


def wrapped(forget: Sequence[Asking], kept: Sequence[Asking]) -> tuple[Family, ...]:
    """The same questions in sentences that no model was taught; what is asked has one turn."""
    return tuple(
        Family(name, "direct", *(tuple(_within(words, each) for each in of) for of in (forget, kept)))
        for name, words in WRAPPED.items()
        if forget
    )


def _within(words: str, asking: Asking) -> Asking:
    return Asking(asking.id, asking.cluster, (words.replace("{}", asking.turns[0]),), asking.answer,
                  false=asking.false, raw=asking.raw)  # fmt: skip


WRONG = 3


def choice(asking: Asking) -> Asking:
    """A question with its answer and three false ones listed in an order of its own, of which one is to be said."""
    options = [asking.answer, *asking.false[:WRONG]]
    order = random.Random(f"choice of {asking.id}").sample(options, len(options))
    said, false = listed(asking.turns[0], order), tuple(options[1:])
    return Asking(asking.id, asking.cluster, (said,), asking.answer, false=false, options=True, raw=asking.raw)
