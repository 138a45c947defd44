"""The two controls that anchor every table: what unlearning starts from, and what it should arrive at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.api import transform

if TYPE_CHECKING:
    from bench.contracts import LM, Context


@transform("target", "the model that has learnt the forget set, untouched", control=True, family="control")
def target(context: Context) -> LM:
    """Return the target as it is: the worst forgetting and the best utility that a method can have.

    Cost: none, the model is there.
    """
    return context.lm


@transform(
    "retrain",
    "the same model trained without the forget set: the ideal answer",
    control=True,
    start="retain",
    family="control",
)
def retrain(context: Context) -> LM:
    """Return the model fine-tuned on the retain set alone; forget quality is measured against it.

    Cost: none here; teaching it takes all retain items, with gradient, for as many epochs as the target's.
    """
    return context.lm
