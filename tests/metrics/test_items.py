"""Rows with their item columns."""

from __future__ import annotations

import dataclasses
import zlib

import pytest

from bench.metrics._items import Items


def test_rows_that_have_their_columns_are_taken_as_they_are(rows_of) -> None:
    """Those of another published behaviour are not; without a word it is nobody's."""
    rows = rows_of([{"set": "forget", "id": "a", "answer": {"logp": [-1.0, float("nan")], "hit": [0, 1]}}])
    plain, theirs = Items.of(rows), Items.of(rows, "tofu")
    assert (plain.compat, theirs.compat) == ("", "tofu")
    assert Items.of(plain) is plain and Items.of(theirs, "tofu") is theirs
    assert Items.of(theirs).compat == "" and Items.of(plain, "tofu").compat == "tofu"
    assert plain.exact_memorisation.isna().all() and Items.of(plain, "tofu").exact_memorisation.tolist() == [0]


def test_generations_without_what_was_not_looked_for_have_no_values(rows_of) -> None:
    """Rows from before exams were held have no scores, and those without the probe do not tell a refusal."""
    rows = rows_of([{"set": "forget", "id": "a", "question": ["a", "b"]}, {"set": "general", "id": "a", "exam": 1}])
    found = Items.of(dataclasses.replace(rows, generations=rows.generations.drop(columns="score")))
    assert Items.of(rows).right.tolist() == [1] and found.right.isna().all()
    assert found.abstained.isna().tolist() == [True]


@pytest.mark.filterwarnings("error")
def test_an_answer_without_tokens_is_0_as_published_and_warns_of_nothing(rows_of) -> None:
    items = Items.of(rows_of([{"set": "forget", "id": "a", "answer": {"logp": [-3.0]}}]), "open-unlearning")
    for column in (items.extraction_strength, items.min_k, items.min_k_plus_plus):
        assert column.tolist() == [0]


def test_zlib_is_the_loss_per_byte_of_the_compressed_answer(rows_of) -> None:
    """The end of sequence counts in the loss; letters are UTF-8."""
    texts = ["a", "\u00e9t\u00e9", "na " * 60, " ".join(str(i * i) for i in range(200))]
    items = [{"set": "forget", "id": text, "answer": {"logp": [-1.0, -3.0], "text": text}} for text in texts]
    sizes = [len(zlib.compress(text.encode("utf-8"))) for text in texts]
    assert Items.of(rows_of(items)).zlib.tolist() == [2 / size for size in sizes]


def test_min_k_plus_plus_is_in_standard_deviations_of_at_least_a_thousandth(rows_of) -> None:
    """0.01 below the mean is ten thousandths, whatever variance below 1e-6 there is; five roots of 4e-6; -2 less -3
    is above the mean."""
    places = [(-0.01, 0.0, 0.0), (-0.01, 0.0, 9e-7), (-0.01, 0.0, 4e-6), (-2.0, -3.0, 4.0)]
    items = [
        {"set": "forget", "id": str(i), "answer": {"logp": [logp, -9.0], "mean": [mean, 0.0], "var": [var, 1.0]}}
        for i, (logp, mean, var) in enumerate(places)
    ]
    assert Items.of(rows_of(items)).min_k_plus_plus.tolist() == pytest.approx([10.0, 10.0, 5.0, -0.5], rel=1e-5)


def test_probes_by_hand(rows_of) -> None:
    """1 - 3 and 4 - 4.5; gradient norms are taken as they are."""
    rows = rows_of([{"set": "forget", "id": str(loss), "answer": {"logp": [-loss]}} for loss in (1.0, 4.0)])
    assert Items.of(rows).excess_loss.isna().all() and Items.of(rows).gradient_norm.isna().all()
    found = Items.of(dataclasses.replace(rows, texts=rows.texts.assign(reference_loss=[3, 4.5], gradient_norm=[2, 1])))
    assert (found.excess_loss.tolist(), found.gradient_norm.tolist()) == ([-2.0, -0.5], [2.0, 1.0])
