"""The per-item statistics: against the libraries they follow, at their ends, and as they promise to move."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer

from bench.api import Ragged
from bench.metrics import _items
from bench.metrics._compat import COMPATS
from bench.metrics._forms import harmonic_mean
from bench.metrics._rouge import _Stemmer, lcs, rouge_l

losses = st.floats(0, 300)
vocabulary = ["the", "author", "authors", "was", "born", "writing", "Lima,", "1956", "don't", "...", "é"]
texts = st.lists(st.sampled_from(vocabulary)).map(" ".join)
token_lists = st.lists(st.lists(st.tuples(st.floats(-20, 0), st.booleans()), max_size=8), min_size=1, max_size=6)


def _ragged(lists: list[list[float]]) -> Ragged:
    flat = np.array([v for values in lists for v in values])
    return Ragged(flat, np.concatenate([[0], np.cumsum([len(v) for v in lists])]).astype(np.int64))


def _options(wrong: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(wrong), np.zeros(len(wrong), dtype=int)


# -- ROUGE -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(texts | st.text(max_size=40), texts | st.text(max_size=40))
def test_rouge_is_rouge_scores(reference: str, generation: str) -> None:
    theirs = RougeScorer(["rougeL"], use_stemmer=True).score(reference, generation)["rougeL"]
    assert rouge_l(reference, generation) == (theirs.recall, theirs.precision, theirs.fmeasure)


def test_words_have_porters_stems() -> None:
    """Of a stemmer that has seen none of them."""
    said = ["authors", "writing", "was", "1956"]
    assert [_Stemmer().stem(word) for word in said] == [PorterStemmer().stem(word) for word in said]


@given(st.lists(st.sampled_from("abcd"), max_size=90), st.lists(st.sampled_from("abcd"), max_size=90))
@settings(deadline=None)
def test_lcs_is_the_textbooks(a: list[str], b: list[str]) -> None:
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    assert lcs(a, b) == table[-1, -1]


@given(texts, texts)
@settings(deadline=None)
def test_rouge_bounds_and_growth(reference: str, generation: str) -> None:
    """Saying more never lowers recall, and saying all of it gives 1."""
    recall = _items.rouge_recall(reference, generation)
    if math.isnan(recall):
        assert not any(c.isascii() and c.isalnum() for c in reference)
        return
    assert 0 <= recall <= _items.rouge_recall(reference, generation + " was born") <= 1
    assert _items.rouge_recall(reference, f"{generation} {reference}") == 1


# -- options ---------------------------------------------------------------------------------------------------------


@given(losses, st.lists(losses, min_size=1, max_size=6), st.floats(0.01, 5))
def test_truth_ratio_moves_as_it_should(correct: float, wrong: list[float], step: float) -> None:
    """A less likely true answer raises R; a less likely false one lowers it; the order of options is nothing."""
    of = lambda c, w: _items.log_truth_ratio(np.array([c]), *_options(w))[0]  # noqa: E731
    base = of(correct, wrong)
    assert base == pytest.approx(correct - sum(wrong) / len(wrong), abs=1e-9)
    assert of(correct + step, wrong) > base > of(correct, [wrong[0] + step, *wrong[1:]])
    assert of(correct, wrong[::-1]) == pytest.approx(base, abs=1e-9)
    assert of(correct, [correct] * len(wrong)) == pytest.approx(0, abs=1e-9)


@given(st.floats(0, 15), st.lists(st.floats(0, 15), min_size=1, max_size=6))
def test_truth_ratio_in_plain_arithmetic(correct: float, wrong: list[float]) -> None:
    """Where nothing underflows all published forms can be written down as they are published."""
    c, w = math.exp(-correct), [math.exp(-x) for x in wrong]
    geometric = math.exp(sum(-x for x in wrong) / len(wrong))
    expected = {
        "": geometric / c,
        "tofu": geometric / c,
        "tofu-training": sum(w) / len(w) / c,
        "open-unlearning": geometric / (c + 1e-10),
    }
    for compat, ratio in expected.items():
        found = _items.log_truth_ratio(np.array([correct]), *_options(wrong), compat)[0]
        assert found == pytest.approx(math.log(ratio), abs=1e-9), compat


@given(st.floats(0, 15), st.lists(st.floats(0, 15), min_size=1, max_size=6))
def test_normalised_probability_in_plain_arithmetic(correct: float, wrong: list[float]) -> None:
    c, total = math.exp(-correct), sum(math.exp(-x) for x in wrong)
    for compat, epsilon in (("", 0.0), ("tofu", 0.0), ("open-unlearning", 1e-10)):
        found = _items.normalised_probability(np.array([correct]), *_options(wrong), compat)[0]
        assert found == pytest.approx(c / (c + total + epsilon), rel=1e-9), compat


@given(losses, st.lists(losses, min_size=1, max_size=6))
def test_normalised_probability_bounds(correct: float, wrong: list[float]) -> None:
    value = _items.normalised_probability(np.array([correct]), *_options(wrong))[0]
    assert 0 <= value <= 1
    alike = _items.normalised_probability(np.array([correct]), *_options([correct] * len(wrong)))[0]
    assert alike == pytest.approx(1 / (1 + len(wrong)))


@pytest.mark.parametrize("compat", COMPATS)
@pytest.mark.parametrize("of", [_items.log_truth_ratio, _items.normalised_probability])
def test_a_missing_or_broken_option_is_unscored(of, compat: str) -> None:
    """No wrong option (the first and the last), a NaN among them, a NaN for the correct one."""
    correct = np.array([1.0, 1.0, np.nan, 1.0])
    wrong, owner = np.array([2.0, np.nan, 2.0]), np.array([1, 1, 2])
    assert np.isnan(of(correct, wrong, owner, compat)).tolist() == [True] * 4


options = st.floats(0, 4) | st.integers(0, 2).map(float) | st.just(math.nan)


@given(st.lists(st.tuples(options, st.lists(options, max_size=4)), min_size=1, max_size=5), st.randoms())
def test_rank_one_item_at_a_time(items: list[tuple[float, list[float]]], random) -> None:
    """1 of the first place where the correct option has it alone, shared where it is tied; in any order of options."""
    pairs = [(loss, i) for i, (_, wrong) in enumerate(items) for loss in wrong]
    random.shuffle(pairs)
    wrong, owner = np.array([loss for loss, _ in pairs]), np.array([i for _, i in pairs], dtype=int)
    found = _items.ranked_first(np.array([correct for correct, _ in items]), wrong, owner)
    for value, (correct, others) in zip(found, items, strict=True):
        if not others or any(map(math.isnan, [correct, *others])):
            assert math.isnan(value)
        else:
            assert value == (correct == min([correct, *others])) / [correct, *others].count(correct)


LOST = [0.0, 1000.0, 2000.0, math.inf, math.nan]


@pytest.mark.parametrize("of", [_items.log_truth_ratio, _items.normalised_probability, _items.ranked_first])
@pytest.mark.parametrize("wrong", LOST)
@pytest.mark.filterwarnings("error")
def test_a_collapsed_model_warns_of_nothing(of, wrong: float) -> None:
    """Whatever has no probability left, or no wrong option at all, is a number or NaN, not a line on the terminal."""
    for compat in COMPATS if of is not _items.ranked_first else ():
        of(np.array([0.0, 1000.0, 1.0]), np.array([wrong, wrong]), np.array([0, 1]), compat)
    of(np.array([0.0, 1000.0, 1.0]), np.array([wrong, wrong]), np.array([0, 1]))


@pytest.mark.filterwarnings("error")
def test_a_part_at_0_and_a_text_without_tokens_warn_of_nothing() -> None:
    assert harmonic_mean([np.array(0.0), np.array(1.0)]) == 0
    assert np.isnan(_items.mean_of(_ragged([[]])))


@pytest.mark.parametrize("generation", ["", "I cannot say.", "{{{{"])
def test_a_refusal_is_never_right(generation: str) -> None:
    assert _items.nearest_is_true(generation, "born in Lima", ["born in Rome"]) == 0


@given(texts, texts, st.lists(texts, min_size=1, max_size=5))
@settings(deadline=None)
def test_a_wrong_option_that_equals_the_true_one_cannot_be_beaten(said: str, true: str, wrong: list[str]) -> None:
    assert _items.nearest_is_true(said, true, [*wrong, true]) != 1


# -- tokens ----------------------------------------------------------------------------------------------------------


@given(token_lists)
def test_token_statistics_one_text_at_a_time(lists: list[list[tuple[float, bool]]]) -> None:
    """Each against a plain loop over one text; a text without tokens is NaN."""
    logp, hit = _ragged([[p for p, _ in t] for t in lists]), _ragged([[h for _, h in t] for t in lists])
    cut = _items.without_last(logp)
    assert np.diff(cut.offsets).tolist() == [max(len(t) - 1, 0) for t in lists]
    means, lowest, suffix = _items.mean_of(logp), _items.lowest_mean(logp), _items.matched_suffix(hit)
    for i, text in enumerate(lists):
        if not text:
            assert np.isnan([means[i], lowest[i], suffix[i]]).all()
            continue
        values = [p for p, _ in text]
        k = max(math.floor(0.4 * len(text) + 1e-9), 1)
        run = 0
        while run < len(text) and text[-1 - run][1]:
            run += 1
        assert means[i] == pytest.approx(np.mean(values))
        assert lowest[i] == pytest.approx(np.mean(sorted(values)[:k]))
        assert suffix[i] == pytest.approx(run / len(text))
        assert cut.flat[cut.offsets[i] : cut.offsets[i + 1]].tolist() == values[:-1]


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 11))
def test_extraction_strength_is_within_exact_memorisation(hits: list[bool], place: int) -> None:
    """A matching suffix consists of hits; a miss that becomes a hit lowers neither."""
    better = [h or i == place for i, h in enumerate(hits)]
    assert _items.matched_suffix(_ragged([hits]))[0] <= _items.mean_of(_ragged([hits]))[0]
    assert _items.matched_suffix(_ragged([better]))[0] >= _items.matched_suffix(_ragged([hits]))[0]
