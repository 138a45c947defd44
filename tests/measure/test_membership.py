"""The probes that run only when asked for: what they add, and to which texts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from bench.api import Probes, Text
from bench.measure.membership import with_gradient_norm, with_reference
from bench.measure.one_pass import measure
from bench.model import models
from bench.model.recipes import SCRATCH
from bench.score.scoring import item_table, score_items
from bench.store.rows import read_rows, write_rows

SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=1, heads=2, vocab_size=300)
TEXTS = tuple(
    Text(set_, f"{set_}-{n}", f"{set_}-{n}", role, f"What is {n}?", f"{n} and {role}")
    for set_ in ("forget", "holdout", "retain")
    for n in range(3)
    for role in ("answer", "paraphrase")
)


@pytest.fixture(scope="module")
def lms():
    torch.set_num_threads(1)
    tokenizer = models.train_tokenizer([t.prompt + " " + t.continuation for t in TEXTS], 300)
    return [models.new_llama(SHAPE, tokenizer, seed) for seed in (0, 1)]


def silent(*_):
    pass


def naive_norm(lm, text):
    """Mean over tensors of the norm of the gradient of -mean log p of the answer without its end, by plain autograd."""
    item = lm.encode(text.prompt, text.continuation)
    logp = lm.model(torch.tensor([item.prompt + item.answer])).logits[0].log_softmax(-1)
    first = len(item.prompt)
    loss = -torch.stack([logp[first + t - 1, token] for t, token in enumerate(item.answer[:-1])]).mean()
    lm.model.zero_grad()
    loss.backward()
    return float(np.mean([p.grad.norm().item() for p in lm.model.parameters()]))


def test_both_probes_touch_answers_of_members_and_non_members_only(lms, tmp_path):
    lm, reference = lms
    rows = measure(lm, Probes(TEXTS, ()))
    rows = with_gradient_norm(with_reference(rows, TEXTS, reference, silent), TEXTS, lm, silent)
    own = measure(reference, Probes(TEXTS, ())).logp
    for i, text in enumerate(TEXTS):
        line = rows.texts.iloc[i]
        if text.role == "answer" and text.set != "retain":
            assert line.gradient_norm == pytest.approx(naive_norm(lm, text), rel=1e-5)
            expected = -own.flat[own.offsets[i] : own.offsets[i + 1]].mean()
            assert line.reference_loss == pytest.approx(expected, rel=1e-5)
        else:
            assert np.isnan(line.gradient_norm)
            assert np.isnan(line.reference_loss)
    write_rows(rows, tmp_path / "rows.parquet")
    back = read_rows(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(back.texts, rows.texts, check_dtype=False)
    names = ["mia_reference", "mia_gradient_norm"]
    scores = score_items(item_table(back, names), None, names)
    assert all(0 <= scores[name].value <= 1 for name in names)


def test_without_the_probes_their_attacks_say_how_to_ask(lms):
    rows = measure(lms[0], Probes(TEXTS, ()))
    names = ["mia_reference", "mia_gradient_norm"]
    scores = score_items(item_table(rows, names), None, names)
    assert all(scores[n].value is None and "--probes" in scores[n].note for n in names)
