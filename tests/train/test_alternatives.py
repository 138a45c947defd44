"""Other answers to the forget prompts."""

from __future__ import annotations

import copy
import dataclasses
from functools import partial

import pytest

from bench.api import Pair, Probes, Splits
from bench.conformance import toy
from bench.errors import UsageError
from bench.keys import stream
from bench.refusals import REFUSALS
from bench.train.alternatives import alternatives

FORGET = (Pair("Where was Ada Lind born?", "In Oslo."), Pair("What does Ada Lind write?", "Poems."))
RETAIN = (
    Pair("What does Bo Ek write?", "Novels."),
    Pair("Where was Bo Ek born?", "In Rome."),
    Pair("Where was Cy Dahl born?", "In Oslo."),
    Pair("Who painted the sky?", "Nobody."),
)
DATA = Splits((), (), FORGET, RETAIN, Probes((), ()), ())


def said(data: Splits, kind: str) -> list[list[str]]:
    lm = toy.target()
    return [[lm.decode(item.answer) for item in each] for each in alternatives(lm, data, kind, partial(stream, "t", 0))]


def test_refusals_are_the_datas_own_or_those_of_its_language() -> None:
    assert said(DATA, "refusal") == [list(REFUSALS["en"])] * 2
    assert said(dataclasses.replace(DATA, language="de"), "refusal")[0][0] == "Das weiß ich nicht."
    assert said(dataclasses.replace(DATA, refusals=("No idea.",)), "refusal") == [["No idea."]] * 2
    with pytest.raises(UsageError, match="no refusals in 'la'.*de"):
        said(dataclasses.replace(DATA, language="la"), "refusal")


def test_plausible_answers_are_those_to_the_most_similar_questions() -> None:
    """Four of six words are shared with 'Where was Bo Ek born?', and 'In Oslo.' is true, so it is left out."""
    found = said(DATA, "plausible")
    assert found[0][0] == "In Rome." and "In Oslo." not in found[0]
    assert found[1][0] == "Novels."


def test_a_task_may_bring_plausible_answers_of_its_own() -> None:
    assert said(dataclasses.replace(DATA, alternatives=(("In Bonn.",), ("Plays.", "Odes."))), "plausible") == [
        ["In Bonn."], ["Plays.", "Odes."],
    ]  # fmt: skip


def test_sampled_answers_are_the_models_and_never_the_true_ones() -> None:
    """The toy knows its answers by heart: at temperature 1 it says little else, and what it says is left out."""
    data = dataclasses.replace(DATA, forget=tuple(toy.PAIRS[4:]))
    found = said(data, "sampled")
    assert all(found) and found == said(data, "sampled")
    assert not any(pair.answer in each for pair, each in zip(data.forget, found, strict=True))


def test_a_checkpoints_own_generation_settings_do_not_bend_what_is_sampled() -> None:
    """Qwen's checkpoints bring a penalty on repetition: the samples are the model's distribution all the same."""
    lm, data = copy.deepcopy(toy.target()), dataclasses.replace(DATA, forget=tuple(toy.PAIRS[4:]))
    plain = alternatives(lm, data, "sampled", partial(stream, "t", 0))
    lm.model.generation_config.update(repetition_penalty=1.5, min_p=0.3, typical_p=0.5, no_repeat_ngram_size=2)
    assert alternatives(lm, data, "sampled", partial(stream, "t", 0)) == plain
