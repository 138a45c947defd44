"""ROUGE-L as `rouge_score` computes it (Lin 2004; stemmed words), each word stemmed and each text split only once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple


class Rouge(NamedTuple):
    """Shares of the longest common subsequence of words."""

    recall: float  # of the reference's words
    precision: float  # of the generation's words
    f1: float


class _Stemmer:
    """The Porter stemmer `rouge_score` uses, which it would run again for every occurrence of a word."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = cache(PorterStemmer().stem)


@cache
def _tokenizer() -> tuple[Any, _Stemmer]:
    from rouge_score.tokenize import tokenize

    return tokenize, _Stemmer()


@lru_cache(maxsize=100_000)
def words(text: str) -> tuple[str, ...]:
    """Lower-cased, stemmed words of [a-z0-9], by `rouge_score`'s own tokenizer; () for a text without any."""
    tokenize, stemmer = _tokenizer()
    return tuple(tokenize(text, stemmer))


def lcs(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, one machine operation for each 64 words of `a` (Hyyro 2004)."""
    where: Counter[str] = Counter()
    for i, word in enumerate(a):
        where[word] |= 1 << i
    full = (1 << len(a)) - 1
    free = full  # bit i is 0 where the length grows with the i-th word of a
    for word in b:
        if match := free & where[word]:
            free = ((free + match) | (free - match)) & full
    return len(a) - free.bit_count()


def rouge_l(reference: str, generation: str) -> Rouge:
    """ROUGE-L of one generation; all zero when either text has no words."""
    expected, found = words(reference), words(generation)
    common = lcs(expected, found)
    if not common:
        return Rouge(0.0, 0.0, 0.0)
    precision, recall = common / len(found), common / len(expected)
    return Rouge(recall, precision, 2 * precision * recall / (precision + recall))
