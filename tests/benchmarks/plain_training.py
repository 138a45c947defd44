"""GradDiff as the field's trainers structure it: rows as drawn, padded to the longest, all logits, a pass a set.

Batches are ours, so that losses can be compared step by step; with `micro` rows at a time gradients are accumulated,
and each part's mean counts alike, as trainers have it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Encoded
from bench.model.models import LM
from bench.train.parts import Drawn


def graddiff(
    lm: LM, forget: Sequence[Encoded], retain: Sequence[Encoded], drawn: Sequence[Drawn], lr: float, micro: int
) -> list[tuple[float, float]]:
    """Train in place; by step the cross-entropies of the forget and the retain rows."""
    parameters = list(lm.model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.01, fused=True)
    rises = max(1, round(0.1 * len(drawn)))
    rate = [(n + 1) / rises if n < rises else (len(drawn) - n) / (len(drawn) - rises) for n in range(len(drawn))]
    found = []
    for step, batch in enumerate(drawn):
        optimizer.param_groups[0]["lr"] = lr * rate[step]
        optimizer.zero_grad()
        losses: list[Tensor] = []
        parts = range(0, len(batch["forget"]), micro)
        for start in parts:
            ascent, descent = (
                cross_entropy(lm, [items[i] for i in batch[name][start : start + micro]])
                for name, items in (("forget", forget), ("retain", retain))
            )
            ((descent - ascent) / len(parts)).backward()
            losses.append(torch.stack([ascent.detach(), descent.detach()]))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        found.append(tuple(torch.stack(losses).mean(0).tolist()))
    return found


def cross_entropy(lm: LM, items: Sequence[Encoded]) -> Tensor:
    """The mean over labels, from the logits of every position."""
    width = max(len(item.prompt) + len(item.answer) for item in items)
    ids = torch.full((len(items), width), lm.pad)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for row, (prompt, answer) in enumerate(items):
        length = len(prompt) + len(answer)
        ids[row, :length] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : length] = torch.tensor(answer)
        mask[row, :length] = 1
    logits = lm.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
