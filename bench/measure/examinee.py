"""The model as lm-eval sees it: plain where nothing is attached, else through our engine, which knows the prompts.

lm-eval lays prompt and answer into one row and asks the network itself. What is attached would then see no border, so
such a model is scored and completed here; its prompt is the context that lm-eval hands it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.measure.budget import token_budget
from bench.measure.forward import Forward, evaluating
from bench.measure.prompts import Row, generate
from bench.measure.texts import Job, plan, score
from bench.model.models import LM

AT_ONCE = 64  # prompts that are completed together; the engine finds out what memory holds


def examinee(lm: LM, batch_size: int | str) -> Any:
    """An `HFLM` of lm-eval; of a model with something attached one whose answers are those of our engine."""
    from lm_eval.models.huggingface import HFLM

    if not lm.attached:
        return HFLM(lm.model, tokenizer=lm.tokenizer, batch_size=batch_size)  # type: ignore[arg-type]

    class Examinee(HFLM):  # type: ignore[misc]
        def _loglikelihood_tokens(self, requests: Any, *args: Any, **kwargs: Any) -> list[tuple[float, bool]]:
            return likelihoods(lm, [(context, said) for _, context, said in requests], self.max_length)

        def _model_generate(self, context: Tensor, max_length: int, stop: Any, **asked: Any) -> Tensor:
            if asked.get("do_sample"):
                raise BenchError("an exam that draws its answers cannot be sat with something attached; only greedily.")
            return completions(lm, context, asked["attention_mask"], max_length - context.shape[1])

    return Examinee(lm.model, tokenizer=lm.tokenizer, batch_size=AT_ONCE)  # type: ignore[arg-type]


def likelihoods(lm: LM, asked: Sequence[tuple[Sequence[int], Sequence[int]]], longest: int) -> list[tuple[float, bool]]:
    """Of every (context, continuation) the continuation's log-probability, and whether it is what greedy decoding says.

    Contexts lose their beginning where both together have more than `longest` tokens.
    """
    distinct: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    jobs: dict[tuple[int, ...], Job] = {}
    keys = []
    for context, said in asked:
        whole = [*context, *said][-(longest + 1) :]
        prompt, answer = tuple(whole[: -len(said)]), tuple(said)
        keys.append(distinct.setdefault((prompt, answer), len(distinct)))
        jobs.setdefault(prompt, Job(list(prompt), {})).continuations[keys[-1]] = list(answer)
    forward = Forward(lm)
    with evaluating(lm):
        found = plan(forward, list(jobs.values()))
        budget = token_budget(forward, max((tree.width for tree in found), default=1))
        scored = score(forward, list(jobs.values()), found, budget, lambda tokens: None)
    parts = [slice(scored.offsets[key], scored.offsets[key + 1]) for key in keys]
    right = scored.top == scored.label
    return [(float(scored.logp[part].sum(dtype=np.float64)), bool(right[part].all())) for part in parts]


def completions(lm: LM, context: Tensor, mask: Tensor, room: int) -> Tensor:
    """Contexts [B, L], of which `mask` says what is no filler, with their greedy completions: [B, L + longest]."""
    prompts = [ids[kept.bool()].tolist() for ids, kept in zip(context, mask, strict=True)]
    distinct = {tuple(ids): Row(ids, room) for ids in prompts}
    forward = Forward(lm)
    with evaluating(lm):
        longest = max(row.length + row.room for row in distinct.values())
        generate(forward, list(distinct.values()), token_budget(forward, longest), lambda tokens: None)
    said = [distinct[tuple(ids)].new for ids in prompts]
    width = max(map(len, said))
    filled = torch.tensor([new + [lm.eos] * (width - len(new)) for new in said], dtype=context.dtype)
    return torch.cat([context.cpu(), filled.view(len(said), width)], 1)
