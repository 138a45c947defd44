"""Ids of texts are remembered by what a tokenizer says of itself, and never shared between two that say otherwise."""

from __future__ import annotations

import pickle

from bench.model.encoding import Encoding
from bench.model.models import train_tokenizer

TEXTS = ["a cat sat on a mat", "a dog ran", "cats and dogs"]


def test_what_is_remembered_is_what_would_be_encoded() -> None:
    """By a copy of the tokenizer too; what is handed out may be changed."""
    tokenizer = train_tokenizer(TEXTS * 3, 270)
    first, second = Encoding(tokenizer), Encoding(pickle.loads(pickle.dumps(tokenizer)))
    for text in TEXTS:
        expected = tokenizer.encode(text, add_special_tokens=False)
        first.prompt(text, raw=True).append(-1)
        assert second.prompt(text, raw=True) == expected == first.pair(text, "x", raw=True).prompt
    assert first._known is second._known and set(first._known) >= {*TEXTS, "x"}


def test_other_words_are_another_tokenizer() -> None:
    some, other = (Encoding(train_tokenizer(texts * 3, 300)) for texts in (TEXTS, ["sat sat on on mat mat"]))
    assert some.prompt("on a mat", raw=True) != other.prompt("on a mat", raw=True)
    assert some.prompt("on a mat", raw=True) == some.tokenizer.encode("on a mat", add_special_tokens=False)
