"""The scoring engine against one text at a time: the same numbers for any architecture, batch size and order."""

from __future__ import annotations

import itertools
import logging
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.api import Probes, Rows, Text
from bench.errors import BenchError
from bench.measure.forward import Forward, evaluating
from bench.measure.one_pass import measure
from bench.model.models import LM
from tests.measure.conftest import EXACT, SHAPES, character_tokenizer, naive_scores, tiny

WORDS = ["ada", "was born in", "oslo", "lima", "she writes", "of ships", "and", "a baker"]


def some_texts(seed: int = 0, questions: int = 5) -> tuple[Text, ...]:
    """Questions with continuations that share beginnings, a duplicate, an empty answer and a document."""
    rng = random.Random(seed)
    texts = []
    for i in range(questions):
        prompt = f"who is {rng.choice(WORDS)} {i}?".replace(str(i), "abcdefg"[i])
        stem = " ".join(rng.choices(WORDS, k=2))
        for k in range(4):
            ending = " ".join(rng.choices(WORDS, k=rng.randint(0, 4)))
            texts.append(Text("forget", str(i), str(i), "perturbed", prompt, f"{stem} {ending}".strip(), k))
        texts.append(Text("forget", str(i), str(i), "answer", prompt, texts[-1].continuation))
    texts.append(Text("retain", "empty", "0", "answer", "what?", ""))
    texts.append(Text("retain", "document", "0", "answer", "once upon", " a time there was", raw=True))
    return tuple(texts)


def rows_of(lm: LM, texts: tuple[Text, ...], **options: object) -> Rows:
    return measure(lm, Probes(texts, ()), **options)  # type: ignore[arg-type]


def per_text(rows: Rows, name: str) -> list[np.ndarray]:
    flat, offsets = getattr(rows, name)
    return [flat[a:b] for a, b in itertools.pairwise(offsets)]


@pytest.mark.parametrize("kind", list(SHAPES))
def test_equals_one_text_at_a_time_in_double_softmax(kind: str) -> None:
    """Every statistic of every label within 1e-5 of the naive loop's, hits identical; every architecture."""
    lm, texts = tiny(kind), some_texts()
    rows = rows_of(lm, texts, token_budget=150)
    for i, text in enumerate(texts):
        expected = naive_scores(lm, text.prompt, text.continuation, text.raw)
        for name, values in zip(("logp", "hit", "mean", "var"), expected, strict=True):
            np.testing.assert_allclose(per_text(rows, name)[i], values, rtol=0, atol=1e-5, err_msg=f"{text} {name}")


@pytest.mark.parametrize("kind", EXACT)
def test_float32_results_do_not_depend_on_batch_size_or_order(kind: str) -> None:
    """Budgets from one text a batch to all in one, and any order of the items: within 1e-6."""
    lm, texts = tiny(kind), some_texts()
    base = rows_of(lm, texts, token_budget=4096)
    for budget in (1, 64, 200, 100_000):
        order = list(range(len(texts)))
        random.Random(budget).shuffle(order)
        other = rows_of(lm, tuple(texts[i] for i in order), token_budget=budget)
        for name in ("logp", "mean", "var"):
            a, b = per_text(base, name), per_text(other, name)
            worst = max(float(np.abs(a[i] - b[k]).max()) for k, i in enumerate(order))
            assert worst <= 1e-6, f"{name} moved by {worst} at a budget of {budget}"


def test_eager_attention_gives_the_same() -> None:
    a, b = (rows_of(tiny("llama", attention=kind), some_texts()) for kind in ("sdpa", "eager"))
    np.testing.assert_allclose(a.logp.flat, b.logp.flat, rtol=0, atol=1e-5)


def test_what_a_model_can_do_is_found_by_trying() -> None:
    """Bloom's biases ignore a tree's positions, Mamba has no mask, Gemma's window is narrower than the trial."""
    able = {kind: Forward(tiny(kind)) for kind in SHAPES}
    with torch.inference_mode():
        assert [k for k in SHAPES if not able[k].takes_trees] == ["gemma2", "bloom", "mamba"]
        assert all(able[k].separable for k in SHAPES)


def test_duplicates_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens that go through the model are those of the distinct texts, and a duplicate reads the same values."""
    lm, texts = tiny("llama"), some_texts()
    seen = []
    original = Forward.tree_hidden

    def counting(self: Forward, batch, told):  # type: ignore[no-untyped-def]
        seen.extend(batch)
        return original(self, batch, told)

    monkeypatch.setattr(Forward, "tree_hidden", counting)
    once = rows_of(lm, texts)
    single = sum(t.size for t in seen)
    seen.clear()
    twice = rows_of(lm, texts + texts)
    probe = 11  # tokens of the little tree that tries the model out
    assert abs(sum(t.size for t in seen) - single) <= probe
    np.testing.assert_array_equal(np.concatenate([once.logp.flat, once.logp.flat]), twice.logp.flat)


def test_shared_beginnings_go_through_the_model_once() -> None:
    """Nodes of "ab: xyz", "ab: xyw" without a tree: 2 * (prompt + 3 or so); with one: the prompt and the stem once."""
    lm = tiny("llama")
    texts = tuple(Text("f", "0", "0", "p", "ab", c, i, raw=True) for i, c in enumerate(("xyzu", "xywu", "xyzv")))
    total = []
    rows_of(lm, texts, progress=lambda phase, done, count: total.append(count))
    assert total[0] == 2 + len("xy") + len("zu") + len("wu") + len("v")


def test_an_empty_answer_is_scored_by_its_end_alone() -> None:
    rows = rows_of(tiny("llama"), (Text("f", "0", "0", "answer", "what?", ""),))
    lm = tiny("llama")
    glue = len(lm.encode("what?", "").answer)
    assert np.diff(rows.logp.offsets).tolist() == [glue]


def test_no_texts_and_no_prompts_are_empty_rows() -> None:
    rows = measure(tiny("llama"), Probes((), ()))
    assert len(rows.texts) == len(rows.generations) == len(rows.logp.flat) == 0
    assert rows.logp.offsets.tolist() == [0]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_nan_and_never_hits(broken: float) -> None:
    lm = tiny("llama", seed=3)
    weight = lm.model.get_output_embeddings().weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[5] = broken
        rows = rows_of(lm, some_texts())
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert np.isnan(rows.logp.flat).all() and not rows.hit.flat.any()
    assert np.isnan(rows.mean.flat).all() and np.isnan(rows.var.flat).all()


def test_a_token_that_is_ruled_out_weighs_nothing() -> None:
    """Logits (0, 0, -inf): p = (1/2, 1/2, 0), so mean = -ln 2 and var = 0, the ruled-out label -inf."""
    from bench.measure.texts import _moments

    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    logp, top, mean, var = _moments(logits, torch.tensor([0, 0]), torch.tensor([1, 2]))
    torch.testing.assert_close(logp, torch.tensor([-np.log(2.0), -np.inf], dtype=torch.float32))
    torch.testing.assert_close(mean, torch.tensor([-np.log(2.0)] * 2, dtype=torch.float32))
    torch.testing.assert_close(var, torch.zeros(2))
    assert top.tolist() == [0, 0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-80, 80, width=32), min_size=2, max_size=30), st.floats(-1e4, 1e4))
def test_moments_match_their_definition_and_ignore_a_shift(values: list[float], shift: float) -> None:
    """mean = sum p log p, var = sum p (log p - mean)^2 in float64; adding a constant to the logits changes neither."""
    from bench.measure.texts import _moments

    z = torch.tensor(values, dtype=torch.float32)[None]
    exact = z.double().log_softmax(-1)
    p = exact.exp()
    mean = (p * exact).sum(-1)
    var = (p * (exact - mean[:, None]) ** 2).sum(-1)
    logp, _, found_mean, found_var = _moments(
        z.clone(), torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    )
    torch.testing.assert_close(logp.double(), exact[:, 0], rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(found_mean.double(), mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found_var.double(), var, rtol=1e-5, atol=1e-4)
    assert float(found_var) >= 0


def test_a_tokenizer_without_an_end_is_named_and_one_without_a_filler_is_no_matter() -> None:
    lm = tiny("llama")
    texts = some_texts()
    nameless = character_tokenizer(eos=False)
    nameless.name_or_path = "some/model"
    with pytest.raises(BenchError, match=r"some/model.*end-of-sequence"):
        rows_of(LM(lm.model, nameless), texts)
    without = rows_of(LM(lm.model, character_tokenizer(pad=False)), texts)
    np.testing.assert_array_equal(without.logp.flat, rows_of(lm, texts).logp.flat)


def test_a_text_beyond_the_context_is_named() -> None:
    with pytest.raises(BenchError, match=r"forget/7 \(answer\): \d+ tokens.*256"):
        rows_of(tiny("llama"), (Text("forget", "7", "0", "answer", "a" * 200, "b" * 100),))


def test_a_prompt_without_tokens_is_named() -> None:
    with pytest.raises(BenchError, match=r"forget/7 \(answer\).*no tokens"):
        rows_of(tiny("llama"), (Text("forget", "7", "0", "answer", "", "abc", raw=True),))


def test_bfloat16_is_near_and_returns_float32() -> None:
    lm, texts = tiny("llama"), some_texts()
    exact, half = rows_of(lm, texts), rows_of(lm, texts, precision="mixed")
    assert half.logp.flat.dtype == np.float32
    assert 1e-5 < np.abs(exact.logp.flat - half.logp.flat).max() < 0.3


def test_the_model_is_left_as_it_was() -> None:
    lm = tiny("llama")
    lm.model.train()
    try:
        rows_of(lm, some_texts())
        assert lm.model.training and "forward" not in vars(lm.model.base_model)
    finally:
        lm.model.eval()


def test_nobody_is_warned_of_filler_that_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPT-2 misses a mask where a padded batch of texts needs none."""
    warned: list[str] = []
    monkeypatch.setattr(logging.Logger, "warning_once", lambda log, said: log.isEnabledFor(30) and warned.append(said))
    asked = [("once", " upon a time"), ("there", " was")]
    lm = tiny("gpt2")
    lm.model(torch.tensor([[5, lm.pad]]))
    assert len(warned) == 1
    rows_of(lm, tuple(Text("forget", text[0], "0", "answer", *text, raw=True) for text in asked))
    assert len(warned) == 1


def test_progress_counts_tokens_up_to_the_total() -> None:
    calls = []
    rows_of(tiny("llama"), some_texts(), token_budget=64, progress=lambda *call: calls.append(call))
    done = [d for phase, d, total in calls if phase == "scoring"]
    assert len(done) > 2 and done == sorted(done) and done[-1] == calls[0][2]


def test_memory_follows_the_budget() -> None:
    """No forward pass has more tokens than the budget, unless one tree alone does."""
    from bench.measure.one_pass import _jobs
    from bench.measure.texts import batches, plan

    forward = Forward(tiny("llama"))
    with evaluating(forward.lm):
        jobs, _ = _jobs(forward, some_texts())
        found = plan(forward, jobs)
    for batch in batches(found, 300):
        assert len(batch) == 1 or len(batch) * max(t.size for t in batch) <= 300
