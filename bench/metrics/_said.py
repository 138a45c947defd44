"""What a model said, against what it should have said: one value an item."""

from __future__ import annotations

from bench.metrics._compat import Compat
from bench.metrics._rouge import rouge_l, words


def rouge_recall(reference: str, generation: str, compat: Compat = "") -> float:
    """ROUGE-L recall; NaN where the reference has no words, which `compat` scores 0."""
    if not words(reference) and not compat:
        return float("nan")
    return rouge_l(reference, generation).recall


def rouge_f1(reference: str, generation: str) -> float:
    """ROUGE-L F1; NaN where the reference has no words."""
    return rouge_l(reference, generation).f1 if words(reference) else float("nan")


def answer_of(generation: str) -> str:
    """A generation up to where a model that was shown examples asks itself the next question (Shi et al. 2024)."""
    for mark in ("\n\n", "\nQuestion", "Question:"):
        generation = generation.split(mark)[0]
    return generation


def contains(reference: str, generation: str) -> float:
    """1 if the generation holds the whole reference, ignoring case; NaN for an empty reference (Jia et al. 2024)."""
    return float(reference.strip().lower() in generation.lower()) if reference.strip() else float("nan")


def nearest_is_true(generation: str, true: str, wrong: list[str]) -> float:
    """1 if the generation is nearer, in ROUGE-L F1, to the true option than to every wrong one; NaN without options.

    A tie counts against the model: an answer that resembles no option, such as a refusal, is never right.
    """
    if not wrong or not words(true):
        return float("nan")
    return float(rouge_l(true, generation).f1 > max(rouge_l(option, generation).f1 for option in wrong))
