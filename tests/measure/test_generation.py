"""The generation engine against one prompt at a time without a cache: the same token ids for any model and budget."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.measure.prompts as engine
from bench.api import Probes, Prompt, Text
from bench.errors import BenchError
from bench.measure.forward import Forward, evaluating
from bench.measure.one_pass import measure
from bench.measure.prompts import Row, generate
from bench.model.models import LM
from tests.measure.conftest import SHAPES, naive_greedy, tiny

PROMPTS = [f"{who} {what}?" for who in ("ada", "a baker", "the old man of lima") for what in ("is", "was born in", "a")]


def completed(lm: LM, prompts: list[str], room: int, budget: int = 256) -> list[tuple[list[int], bool]]:
    rows = [Row(lm.encode_prompt(p), room) for p in prompts]
    with evaluating(lm):
        generate(Forward(lm), rows, budget, lambda n: None)
    assert all(row.done and row.valid for row in rows)
    return [(row.new, row.finished) for row in rows]


def biased(kind: str, seed: int, end: float) -> LM:
    """A random model whose end-of-sequence logit is `end` times the hidden state's first entry more likely to win."""
    lm = tiny(kind, seed=seed, spread=0.3)
    with torch.no_grad():
        lm.model.get_output_embeddings().weight[lm.eos] *= end
    return lm


@pytest.mark.parametrize("kind", list(SHAPES))
def test_equals_greedy_decoding_one_by_one(kind: str) -> None:
    """Rows end at different steps, leave, are replaced and loop; the ids are those of the naive loop."""
    lm = tiny(kind, seed=1, spread=0.3)
    expected = [naive_greedy(lm, p, 40) for p in PROMPTS]
    for budget in (8, 120, 4096):
        assert completed(lm, PROMPTS, 40, budget) == expected, budget


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), end=st.sampled_from([0.0, 1.0, 3.0]), budget=st.sampled_from([1, 50, 1000]))
def test_equals_greedy_decoding_on_many_models(seed: int, end: float, budget: int) -> None:
    """Models that never stop (the end's logit is 0 always), that do at times, and that do often."""
    tiny.cache_clear()
    lm = biased("llama", seed, end)
    assert completed(lm, PROMPTS[:5], 40, budget) == [naive_greedy(lm, p, 40) for p in PROMPTS[:5]]


def constant(token: int) -> LM:
    """A model that says `token` whatever it is given: every hidden state is pushed to that row of the head."""
    lm = tiny("llama", seed=77)
    with torch.no_grad():
        head = lm.model.get_output_embeddings()
        head.weight.zero_()
        bias = torch.zeros(head.weight.shape[0])
        bias[token] = 5
        head.bias = torch.nn.Parameter(bias)
    tiny.cache_clear()
    return lm


def test_an_end_at_once_is_an_empty_finished_generation() -> None:
    lm = constant(1)
    rows = measure(lm, Probes((), (Prompt("f", "0", "0", "question", "who?", "ada"),)))
    assert rows.generations[["generation", "finished"]].to_numpy().tolist() == [["", True]]


def test_a_model_that_never_stops_spends_its_budget() -> None:
    """ "aaa..." for 200 tokens, in batches that are filled up again."""
    lm = constant(token := 5)
    for budget in (100, 4096):
        assert completed(lm, PROMPTS, 200, budget) == [([token] * 200, False)] * len(PROMPTS)


def test_what_scoring_knows_is_not_generated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a scored continuation is the greedy one, no pass is spent on its generation, and the text is the same."""
    lm = tiny("llama", seed=1, spread=0.3)
    new, finished = naive_greedy(lm, "ada is?", 40)
    text = lm.tokenizer.decode(new)
    probes = Probes(
        (Text("f", "0", "0", "answer", "ada is?", text), Text("f", "0", "0", "other", "ada is?", "nothing")),
        (Prompt("f", "0", "0", "question", "ada is?", text, 40),),
    )
    rows = measure(lm, probes)
    alone = measure(lm, Probes((), probes.prompts))
    assert rows.generations["generation"].tolist() == alone.generations["generation"].tolist()
    assert rows.generations["finished"].tolist() == [finished]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 12), room=st.integers(1, 12))
def test_a_scored_beginning_never_changes_a_generation(seed: int, cut: int, room: int) -> None:
    """Continuations that agree with the greedy path for any number of tokens, longer or shorter than the budget."""
    tiny.cache_clear()
    lm = biased("llama", seed, 2.0)
    new, finished = naive_greedy(lm, "ada is?", room, raw=True)
    text = lm.tokenizer.decode([*new[:cut], 5])
    prompts = (Prompt("f", "0", "0", "question", "ada is?", "", room, raw=True),)
    rows = measure(lm, Probes((Text("f", "0", "0", "answer", "ada is?", text, raw=True),), prompts))
    assert rows.generations["generation"].tolist() == [lm.decode(new)]
    assert rows.generations["finished"].tolist() == [finished]


def test_duplicate_prompts_are_generated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = tiny("llama", seed=1, spread=0.3)
    seen: list[Row] = []
    original = engine.generate

    def spy(forward: Forward, rows: list[Row], *rest: object) -> None:
        seen.extend(rows)
        original(forward, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("bench.measure.one_pass.generate", spy)
    prompts = tuple(Prompt(s, str(i), "0", "question", p, "x", 10) for s in "ab" for i, p in enumerate(PROMPTS))
    rows = measure(lm, Probes((), prompts))
    assert len(seen) == len(PROMPTS)
    texts = rows.generations["generation"].tolist()
    assert texts[: len(PROMPTS)] == texts[len(PROMPTS) :]


def test_each_prompt_has_its_own_budget() -> None:
    lm = constant(5)
    prompts = tuple(Prompt("f", str(n), "0", "question", "who?", "x", n) for n in (0, 1, 7, 30))
    rows = measure(lm, Probes((), prompts))
    letter = lm.decode([5])
    assert rows.generations["generation"].tolist() == [letter * n for n in (0, 1, 7, 30)]
    assert not rows.generations["finished"].any()


def test_the_context_bounds_the_budget_and_a_prompt_beyond_it_is_named() -> None:
    """250 tokens of prompt in a context of 256: 7 more fit (the last one needs no position), not 200."""
    lm = constant(5)
    rows = measure(lm, Probes((), (Prompt("f", "0", "0", "question", "a" * 250, "x", 200, raw=True),)))
    assert rows.generations["generation"].tolist() == [lm.decode([5]) * 7]
    with pytest.raises(BenchError, match=r"f/9 \(question\): 300 tokens.*256"):
        measure(lm, Probes((), (Prompt("f", "9", "0", "question", "a" * 300, "x", 200, raw=True),)))


def test_logits_that_are_no_numbers_leave_the_generation_missing() -> None:
    lm = tiny("llama", seed=78)
    with torch.no_grad():
        lm.model.get_output_embeddings().weight[5] = torch.nan
    tiny.cache_clear()
    prompts = (Prompt("f", "0", "0", "question", "who?", "x", 5),)
    for texts in ((), (Text("f", "0", "0", "answer", "who?", "x"),)):
        rows = measure(lm, Probes(texts, prompts))
        assert rows.generations["generation"].isna().all() and not rows.generations["finished"].any()


def test_the_stop_tokens_of_the_generation_settings_count_too() -> None:
    lm = constant(5)
    lm.model.generation_config.eos_token_id = [1, 5]
    rows = measure(lm, Probes((), (Prompt("f", "0", "0", "question", "who?", "x", 5),)))
    assert rows.generations[["generation", "finished"]].to_numpy().tolist() == [["", True]]


def test_progress_of_generation_ends_at_its_total() -> None:
    calls = []
    prompts = tuple(Prompt("f", str(i), "0", "question", p, "x", 30) for i, p in enumerate(PROMPTS))
    measure(
        tiny("llama", seed=1, spread=0.3), Probes((), prompts), token_budget=100, progress=lambda *c: calls.append(c)
    )
    done = [d for phase, d, _ in calls if phase == "generation"]
    assert done == sorted(done) and done[-1] == 30 * len(PROMPTS) == calls[-1][2]


def test_a_model_without_our_cache_is_found_out() -> None:
    """Mamba has no keys to keep, and Gemma's window of 4 is narrower than the trial; Mistral's of 12 will do."""
    able = []
    for kind in SHAPES:
        lm = tiny(kind)
        with evaluating(lm):
            able.append((kind, engine.takes_cache(Forward(lm))))
    assert [kind for kind, yes in able if not yes] == ["gemma2", "mamba"]


@pytest.mark.parametrize("longest", [0, 1, 5, 24])
def test_no_length_of_guess_changes_a_token(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses that cost nothing are as long as they may be, however wrong they are."""
    monkeypatch.setattr(engine, "LONGEST_GUESS", longest)
    monkeypatch.setattr(engine, "_guess_length", lambda right: longest)
    lm = tiny("gpt2", seed=1, spread=0.3)
    assert completed(lm, PROMPTS, 40, 60) == [naive_greedy(lm, p, 40) for p in PROMPTS]


def test_habits_are_of_two_tokens_where_they_were_seen_and_else_of_one() -> None:
    habits = engine.Habits()
    habits.learn([7, 7], 0)
    assert habits.guess([3, 7], 3) == [7, 7, 7]
    habits.learn([3, 7, 5, 3, 7, 5], 0)
    assert habits.guess([9, 3], 4) == [7, 5, 3, 7]
    assert habits.guess([9], 4) == []
