"""A TOFU evaluation as the field structures it: a pass for each metric, dataset order, batches of 32, all logits.

The passes are those of `open-unlearning`'s default suite without its holdout part. Two of its habits are left out, so
that the comparison is with the structure and not with its accidents: the model's own loss, computed and thrown away in
every pass, and loading each data set anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from bench.api import Probes, Text
from bench.model.models import LM

BATCH = 32
NEW_TOKENS = 200


class Plain(NamedTuple):
    """What the passes found; lists run in dataset order, those of a set's perturbed answers rank by rank."""

    loss: dict[tuple[str, str, int], list[float]]  # (set, role, index) -> mean loss a label
    hits: list[np.ndarray]  # forget answers, labels but the last
    logp: list[np.ndarray]
    generations: dict[str, list[str]]  # set -> completions


@torch.inference_mode()
def evaluate(lm: LM, probes: Probes) -> Plain:
    """All passes, one after the other."""
    groups: dict[tuple[str, str, int], list[Text]] = {}
    for text in probes.texts:
        groups.setdefault((text.set, text.role, text.index), []).append(text)
    answers = groups["forget", "answer", 0]
    return Plain(
        loss={key: list(_losses(lm, texts)) for key, texts in groups.items()},
        hits=[hit for hit, _ in _token_wise(lm, answers)],
        logp=[logp for _, logp in _token_wise(lm, answers)],
        generations={
            name: list(_generations(lm, [p.prompt for p in probes.prompts if p.set == name]))
            for name in dict.fromkeys(p.set for p in probes.prompts)
        },
    )


def _batches(lm: LM, texts: Sequence[Text]) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(ids, attention mask, labels) [B, T], padded on the right; labels are -100 on the prompt and the padding."""
    for start in range(0, len(texts), BATCH):
        encoded = [lm.encode(t.prompt, t.continuation, t.raw) for t in texts[start : start + BATCH]]
        width = max(len(e.prompt) + len(e.answer) for e in encoded)
        ids = torch.full((len(encoded), width), lm.pad)
        labels = torch.full((len(encoded), width), -100)
        mask = torch.zeros(len(encoded), width, dtype=torch.long)
        for row, e in enumerate(encoded):
            length = len(e.prompt) + len(e.answer)
            ids[row, :length] = torch.tensor(e.prompt + e.answer)
            labels[row, len(e.prompt) : length] = torch.tensor(e.answer)
            mask[row, :length] = 1
        yield ids, mask, labels


def _losses(lm: LM, texts: Sequence[Text]) -> Iterator[float]:
    for ids, mask, labels in _batches(lm, texts):
        logits = lm.model(input_ids=ids, attention_mask=mask).logits[:, :-1].contiguous()
        shifted = labels[:, 1:].contiguous()
        each = F.cross_entropy(logits.transpose(-1, -2), shifted, reduction="none", ignore_index=-100)
        yield from (each.sum(-1) / (shifted != -100).sum(-1)).tolist()


def _token_wise(lm: LM, texts: Sequence[Text]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(hits, log-probabilities) of each text's labels but the last."""
    for ids, mask, labels in _batches(lm, texts):
        logp = F.log_softmax(lm.model(input_ids=ids, attention_mask=mask).logits, dim=-1)[:, :-1]
        shifted = labels[:, 1:]
        own = logp.gather(-1, shifted.clamp(min=0)[..., None])[..., 0]
        hits = logp.argmax(-1) == shifted
        for row in range(len(ids)):
            where = (shifted[row] != -100).nonzero()[:-1, 0]
            yield hits[row, where].numpy(), own[row, where].numpy()


def _generations(lm: LM, prompts: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(prompts), BATCH):
        encoded = [lm.encode_prompt(prompt) for prompt in prompts[start : start + BATCH]]
        width = max(map(len, encoded))
        ids = torch.tensor([[lm.pad] * (width - len(e)) + e for e in encoded])
        mask = torch.tensor([[0] * (width - len(e)) + [1] * len(e) for e in encoded])
        settings = {"do_sample": False, "max_new_tokens": NEW_TOKENS, "use_cache": True, "pad_token_id": lm.pad}
        whole = lm.model.generate(input_ids=ids, attention_mask=mask, eos_token_id=lm.eos, **settings)
        yield from (lm.decode(row) for row in whole[:, width:])
