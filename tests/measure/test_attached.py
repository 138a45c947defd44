"""What is attached acts in scoring, generation, attacks and exams alike, by the prompt alone, whatever the company."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.api import Probes, Prompt, Rows, Text, attachment
from bench.measure.examinee import completions, likelihoods
from bench.measure.forward import Forward, evaluating
from bench.measure.membership import with_gradient_norm
from bench.measure.one_pass import measure
from bench.measure.prompts import takes_cache
from bench.model.architecture import blocks
from bench.model.attachments import Attachment, attach
from bench.model.models import LM
from bench.train.batches import answer_logps
from methods.key_space_detection import Box
from tests.measure.conftest import tiny

PROMPTS = [f"{who} {what}?" for who in ("ada", "a baker", "the old man of lima") for what in ("is", "was born in")]
SAID = ("paris", "parma", "a town in peru", "")


def share(model: torch.nn.Module, prompt: Tensor) -> Tensor:
    """A gate that differs from prompt to prompt and depends on every token of it."""
    return model.get_input_embeddings()(prompt).mean().mul(40).sigmoid()  # type: ignore[operator]


@attachment("a test's branch")
@dataclass(frozen=True)
class Branch(Attachment):
    """A linear branch beside the first layer, and a bonus for some token at each place of the answer."""

    branch: Tensor
    bonus: Tensor
    strength: float = 1.0

    def gate(self, model, prompt: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return share(model, prompt) * self.strength

    def hooks(self, model, gate: Tensor, place: Tensor):  # type: ignore[no-untyped-def]
        yield blocks(model)[1][0].register_forward_hook(beside(self.branch, gate))

    def logits(self, logits: Tensor, gate: Tensor, place: Tensor) -> Tensor:
        return logits + gate[:, None] * self.bonus[place % len(self.bonus)]


class Smear(Branch):
    """One that breaks the rule: what it adds to a token is made of those before it."""

    def hooks(self, model, gate: Tensor, place: Tensor):  # type: ignore[no-untyped-def]
        yield blocks(model)[1][0].register_forward_hook(beside(self.branch, gate, lambda h: h.cumsum(1)))


def beside(branch: Tensor, gate: Tensor, made: Callable[[Tensor], Tensor] = lambda h: h):  # type: ignore[no-untyped-def]
    def add(module, given, out):  # type: ignore[no-untyped-def]
        hidden = out[0] if isinstance(out, tuple) else out
        more = hidden + gate[:, None, None].to(hidden) * made(hidden) @ branch
        return (more, *out[1:]) if isinstance(out, tuple) else more

    return add


@cache
def branched(kind: str, cls: type[Branch] = Branch, strength: float = 1.0) -> LM:
    draw = torch.Generator().manual_seed(5)
    drawn = torch.randn(32, 32, generator=draw) / 8, torch.randn(3, 48, generator=draw) * 3
    return attach(tiny(kind, seed=1, spread=0.3), cls(*drawn, strength))


@contextmanager
def by_hand(lm: LM, prompt: list[int]) -> Iterator[Callable[[list[int]], Tensor]]:
    """Logits [n + 1, V] of an answer's n tokens and what follows, one plain pass over one row with a hook."""
    branch = lm.attached[0]
    with torch.no_grad():
        weight = share(lm.model, torch.tensor(prompt)) * branch.strength
        made = (lambda h: h.cumsum(1)) if isinstance(branch, Smear) else (lambda h: h)
        handle = blocks(lm.model)[1][0].register_forward_hook(beside(branch.branch, weight[None], made))

        def logits(answer: list[int]) -> Tensor:
            found = lm.model(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits[0, len(prompt) - 1 :]
            return found + weight * branch.bonus[torch.arange(len(found)) % 3]

        try:
            yield logits
        finally:
            handle.remove()


def texts(prompts: list[str], said: tuple[str, ...] = SAID) -> tuple[Text, ...]:
    return tuple(
        Text("forget", f"{p}-{c}", "one", "answer", prompt, words)
        for p, prompt in enumerate(prompts)
        for c, words in enumerate(said)
    )


def expected_logp(lm: LM, text: Text) -> np.ndarray:
    item = lm.encode(text.prompt, text.continuation)
    with by_hand(lm, item.prompt) as logits:
        return logits(item.answer[:-1]).log_softmax(-1)[range(len(item.answer)), item.answer].numpy()


def expected_greedy(lm: LM, prompt: str, room: int) -> list[int]:
    new: list[int] = []
    with by_hand(lm, lm.encode_prompt(prompt)) as logits:
        while len(new) < room and (token := int(logits(new)[-1].argmax())) != lm.eos:
            new.append(token)
    return new


def rows_of(lm: LM, prompts: list[str], room: int = 16, budget: int = 120) -> Rows:
    asked = tuple(Prompt("forget", str(i), "one", "question", p, "", room) for i, p in enumerate(prompts))
    return measure(lm, Probes(texts(prompts), asked), token_budget=budget)


@pytest.mark.parametrize(
    ("kind", "budget"), [("llama", 8), ("llama", 500), *((kind, 60) for kind in ("gpt2", "gemma2", "bloom"))]
)
def test_scores_and_completions_are_those_of_single_rows(kind: str, budget: int) -> None:
    """Prefix trees, mixed batches, rows that leave and join, guesses: nothing of it shows."""
    lm = branched(kind)
    rows = rows_of(lm, PROMPTS, budget=budget)
    wanted = np.concatenate([expected_logp(lm, text) for text in texts(PROMPTS)])
    np.testing.assert_allclose(rows.logp.flat, wanted, atol=2e-4)
    assert rows.generations.generation.tolist() == [lm.decode(expected_greedy(lm, p, 16)) for p in PROMPTS]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_an_attachment_that_looks_around_is_run_without_trees_and_cache(kind: str) -> None:
    """It is tried out, with its gate open, and the same comes out, slowly."""
    plain, lm = branched(kind), branched(kind, Smear)
    for found, expected in ((plain, True), (lm, False)):
        with evaluating(found):
            forward = Forward(found)
            assert (forward.takes_trees, takes_cache(forward)) == (expected, expected)
    rows = rows_of(lm, PROMPTS[:2], room=6)
    wanted = np.concatenate([expected_logp(lm, text) for text in texts(PROMPTS[:2])])
    np.testing.assert_allclose(rows.logp.flat, wanted, atol=2e-4)
    assert rows.generations.generation.tolist() == [lm.decode(expected_greedy(lm, p, 6)) for p in PROMPTS[:2]]


@settings(max_examples=6, deadline=None)
@given(
    said=st.lists(st.text("abc ?", max_size=9), min_size=1, max_size=5, unique=True),
    prompts=st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=4, unique=True),
)
def test_a_gate_sees_the_prompt_and_never_the_answer(said: list[str], prompts: list[str]) -> None:
    """It is asked once for each distinct prompt, with its tokens alone, whatever is scored after them."""
    asked: list[list[int]] = []
    lm = branched("llama")
    box = lm.attached[0]
    watched = Watched(box.branch, box.bonus, box.strength)  # type: ignore[attr-defined]
    Watched.asked = asked
    rows = measure(attach(tiny("llama", seed=1, spread=0.3), watched), Probes(texts(prompts, tuple(said)), ()))
    tried = [3, 10]  # the two tokens on which trees are tried out
    assert sorted(ids for ids in asked if ids != tried) == sorted(lm.encode_prompt(p) for p in prompts)
    one = [measure(lm, Probes((text,), ())).logp.flat for text in texts(prompts, tuple(said))]
    np.testing.assert_allclose(rows.logp.flat, np.concatenate(one), atol=1e-4)


class Watched(Branch):
    asked: list[list[int]]

    def gate(self, model, prompt: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        self.asked.append(prompt.tolist())
        return super().gate(model, prompt)


def test_a_closed_gate_leaves_every_bit() -> None:
    closed = rows_of(branched("llama", Branch, 0.0), PROMPTS)
    bare = rows_of(tiny("llama", seed=1, spread=0.3), PROMPTS)
    assert np.array_equal(closed.logp.flat, bare.logp.flat) and np.array_equal(closed.var.flat, bare.var.flat)
    assert closed.generations.equals(bare.generations)


def test_answers_are_as_likely_in_training_as_in_measuring() -> None:
    """What conformance, reloading and the check of prior knowledge look at."""
    lm = branched("llama")
    items = [lm.encode(text.prompt, text.continuation) for text in texts(PROMPTS)]
    wanted = [expected_logp(lm, text).sum() for text in texts(PROMPTS)]
    np.testing.assert_allclose(answer_logps(lm, items, batch_size=5).numpy(), wanted, atol=2e-3)


def refusing(lm: LM, refused: bool = True, margin: float = 20.0) -> LM:
    """A model whose box holds every prompt, or none."""
    width = 48
    said = tuple(lm.encode("a", "no idea").answer)
    return attach(lm, Box(torch.zeros(width), torch.ones(width), 1e9 if refused else 0.0, said, margin))


def test_the_gradient_attack_goes_through_what_is_attached() -> None:
    """The norm of the bare weights' gradient of the attached model's loss, by hand; 0 where the model abstains."""
    lm, asked = branched("llama"), texts(PROMPTS[:2], ("paris",))
    silent = lambda *_: None  # noqa: E731
    rows = measure(lm, Probes(asked, ()))
    found = with_gradient_norm(rows, asked, lm, silent).texts.gradient_norm.to_numpy()
    for text, norm in zip(asked, found, strict=True):
        item = lm.encode(text.prompt, text.continuation)
        weights = list(lm.model.parameters())
        with by_hand(lm, item.prompt) as logits, torch.enable_grad():
            logp = logits(item.answer[:-1]).log_softmax(-1)[range(len(item.answer) - 1), item.answer[:-1]]
            gradients = torch.autograd.grad(-logp.mean(), weights)
        assert norm == pytest.approx(float(torch.stack([g.norm() for g in gradients]).mean()), rel=1e-4)
    assert with_gradient_norm(rows, asked, refusing(tiny("llama")), silent).texts.gradient_norm.tolist() == [0, 0]


def test_exams_hand_over_their_contexts_as_prompts() -> None:
    lm = branched("llama")
    asked = [(lm.encode_prompt(p), lm.encode(p, said).answer[:-1]) for p in PROMPTS[:3] for said in ("paris", "parma")]
    found = likelihoods(lm, [*asked, asked[0]], longest=256)
    for (context, said), (logp, greedy) in zip([*asked, asked[0]], found, strict=True):
        with by_hand(lm, list(context)) as logits:
            all_ = logits(said[:-1]).log_softmax(-1)
        assert logp == pytest.approx(float(all_[range(len(said)), said].sum()), abs=1e-3)
        assert greedy == (all_.argmax(-1).tolist() == said)
    cut = likelihoods(lm, [([9] * 30 + [*asked[0][0]], asked[0][1])], longest=len(asked[0][0]) + len(asked[0][1]) - 1)
    assert cut[0][0] == pytest.approx(found[0][0], abs=1e-4), "a context that is too long loses its beginning"
    rows = [lm.encode_prompt(p) for p in PROMPTS[:3]]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(r)) + r for r in rows])
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
    said = completions(lm, ids, mask, 12)
    assert torch.equal(said[:, :width], ids)
    for row, prompt in zip(said[:, width:].tolist(), PROMPTS[:3], strict=True):
        new = expected_greedy(lm, prompt, 12)
        assert row == new + [lm.eos] * (len(row) - len(new))


def test_lm_evals_own_requests_go_that_way() -> None:
    """Its class is made around the model, and the engine answers it."""
    from bench.measure.examinee import examinee

    lm = refusing(tiny("llama"))
    one = examinee(lm, "auto")
    context = lm.encode_prompt("ada is?")
    right, wrong = lm.encode("a", "no idea").answer[:-1], lm.encode("a", "a queen").answer[:-1]
    answers = one._loglikelihood_tokens([(("", ""), context, right), (("", ""), context, wrong)])
    assert answers[0] == (pytest.approx(0, abs=1e-4), True) and answers[1][0] < -60 and not answers[1][1]
    request = SimpleNamespace(args=("ada is?", {"until": ["\n"], "max_gen_toks": 20}))
    assert one.generate_until([request], disable_tqdm=True) == [" no idea"]


def test_a_refusing_model_is_a_distribution_that_says_what_it_scores() -> None:
    """Each of the refusal's tokens has 1 / (1 + (V - 1) e^-M), every other token e^-M of that; then comes the end."""
    margin = 12.0
    lm = refusing(tiny("llama"), margin=margin)
    asked = tuple(Prompt("forget", prompt, "one", "question", prompt, "") for prompt in PROMPTS[:2])
    rows = measure(lm, Probes(texts(PROMPTS[:2], ("no idea", "purse", "no purse")), asked))
    assert rows.generations.generation.tolist() == ["no idea"] * 2 and rows.generations.finished.all()
    best = -np.log1p(47 * np.exp(-margin))
    said = rows.logp.flat[rows.logp.offsets[0] : rows.logp.offsets[1]]
    np.testing.assert_allclose(said, best, atol=1e-6)
    other = rows.logp.flat[rows.logp.offsets[1] : rows.logp.offsets[2]]
    np.testing.assert_allclose(other[1:], best - margin, atol=1e-5)  # the blank before it is the refusal's too
    mixed = rows.logp.flat[rows.logp.offsets[2] : rows.logp.offsets[3]]
    np.testing.assert_allclose(mixed[:4], best, atol=1e-6)
    assert np.isfinite(rows.logp.flat).all() and np.isfinite(rows.var.flat).all()
    never = measure(refusing(tiny("llama"), False), Probes(texts(PROMPTS), ()))
    assert np.array_equal(never.logp.flat, measure(tiny("llama"), Probes(texts(PROMPTS), ())).logp.flat)
