"""Other answers to the forget prompts: refusals, answers of that kind, and what the model itself says too.

They are what preference and refusal objectives teach in place of the true answer (`bench.needs.alternatives`). No
answer that is measured is among them: TOFU's perturbed answers would make its truth ratio a training loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse

from bench.api import Pair, Splits
from bench.contracts import Encoded
from bench.errors import BenchError
from bench.model.models import LM
from bench.refusals import refusals
from bench.train.draws import own_draws

NEIGHBOURS = 3
SAMPLES = 5
"""Answers sampled for a prompt, as AltPO has it (arXiv:2409.13474)."""
ROUNDS = 8
HOTTER = 1.5
"""Factor by which the temperature, 1 at first, rises for prompts to which the model has said the true answer only."""
PLAIN: dict[str, Any] = {
    "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_p": None, "typical_p": 1.0, "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0, "num_beams": 1, "bad_words_ids": None, "suppress_tokens": None, "min_new_tokens": None,
}  # fmt: skip
"""What a checkpoint's own generation settings (Qwen's penalise repetition) would make of the model's distribution."""


def alternatives(lm: LM, data: Splits, kind: str, stream: Callable[[str], np.random.Generator]) -> list[list[Encoded]]:
    """The alternative answers of one kind to every forget prompt, encoded.

    "refusal": the data's own refusals, or those of its language. "plausible": the data's own false answers or, where it
    has none, the answers of the three retain pairs whose prompts share most words with the prompt. "sampled": what
    `lm`, the model that unlearning starts from, says at temperature 1, without the true answer, and at higher ones
    where it says nothing else; AltPO prompts an instructed model for alternatives instead, which models from scratch
    are not.

    Raises:
        BenchError: the model says nothing but the true answers, at whatever temperature.
        UsageError: there are no refusals in the language of the data.
    """
    if kind == "sampled":
        return _sampled(lm, data.forget, stream("sampled answers"))
    if kind == "refusal":
        lines = data.refusals or refusals(data.language)
        return [[lm.encode(pair.prompt, line, pair.raw) for line in lines] for pair in data.forget]
    chosen = data.alternatives or _neighbours(data.forget, data.retain)
    return [[lm.encode(p.prompt, said, p.raw) for said in found] for p, found in zip(data.forget, chosen, strict=True)]


def _neighbours(forget: Sequence[Pair], retain: Sequence[Pair]) -> list[list[str]]:
    """For every forget pair the answers of the retain pairs with the most similar prompts (Jaccard index of words)."""
    known: dict[str, int] = {}
    asked, others = _words(forget, known), _words(retain, known)
    for each in (asked, others):
        each.resize((each.shape[0], len(known)))
    shared = (asked @ others.T).toarray()
    either = np.asarray(asked.sum(1)) + np.asarray(others.sum(1)).T - shared
    order = np.argsort(-shared / np.maximum(either, 1), axis=1, kind="stable")
    return [
        list(dict.fromkeys(retain[j].answer for j in row if retain[j].answer != pair.answer))[:NEIGHBOURS]
        for pair, row in zip(forget, order[:, : 8 * NEIGHBOURS], strict=True)
    ]


def _words(pairs: Sequence[Pair], known: dict[str, int]) -> sparse.csr_matrix:
    """[pairs, words] 1 where a prompt has a word; `known` gains the numbers of new words."""
    cells = [(i, known.setdefault(w, len(known))) for i, pair in enumerate(pairs) for w in _distinct(pair.prompt)]
    rows, columns = zip(*cells, strict=True) if cells else ((), ())
    return sparse.csr_matrix((np.ones(len(cells)), (rows, columns)), shape=(len(pairs), max(1, len(known))))


def _distinct(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _sampled(lm: LM, pairs: Sequence[Pair], random: np.random.Generator) -> list[list[Encoded]]:
    found: list[dict[str, None]] = [{} for _ in pairs]
    longest = min(200, max(len(lm.encode(p.prompt, p.answer, p.raw).answer) for p in pairs) * 2)
    with own_draws(random):
        for turn in range(ROUNDS):
            open_ = [i for i, said in enumerate(found) if not said]
            if not open_:
                break
            asked = [lm.encode_prompt(pairs[i].prompt, pairs[i].raw) or [lm.eos] for i in open_]
            for i, said in zip(open_, _said(lm, asked, HOTTER**turn, longest), strict=True):
                found[i] |= dict.fromkeys(text for text in said if text and text != pairs[i].answer.strip())
    if silent := sum(not said for said in found):
        raise BenchError(
            f"to {silent} of {len(pairs)} forget prompts the model says nothing but the true answer, so there are no "
            "sampled alternatives. Take idkdpo or dpo in place of altpo."
        )
    return [[lm.encode(pair.prompt, text, pair.raw) for text in said] for pair, said in zip(pairs, found, strict=True)]


@torch.no_grad()
def _said(lm: LM, prompts: Sequence[Sequence[int]], temperature: float, longest: int) -> list[list[str]]:
    """Sampled completions of every prompt, SAMPLES each."""
    said: list[list[str]] = []
    for start in range(0, len(prompts), 16):
        some = prompts[start : start + 16]
        width = max(map(len, some))
        ids = torch.tensor([[lm.pad] * (width - len(p)) + list(p) for p in some], device=lm.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in some], device=lm.device)
        out = lm.model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=temperature, top_k=0, top_p=1.0,
            num_return_sequences=SAMPLES, max_new_tokens=longest, pad_token_id=lm.pad, eos_token_id=lm.eos, **PLAIN,
        )  # fmt: skip
        texts = [lm.decode(row) for row in out[:, width:].tolist()]
        said += [texts[i : i + SAMPLES] for i in range(0, len(texts), SAMPLES)]
    return said
