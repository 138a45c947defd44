"""Teaching a model: supervised training of all weights, as base, target and retrain are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bench.api import LossTerms, Pair
from bench.contracts import Encoded, Progress
from bench.errors import UsageError
from bench.keys import stream
from bench.model.models import LM
from bench.model.precision import Precision
from bench.model.recipes import Teaching
from bench.train import spread
from bench.train.batches import label_logps
from bench.train.draws import own_draws
from bench.train.loop import Curve, fit
from bench.train.parts import Part, Room
from bench.train.remainders import stepping
from bench.train.resume import Checkpoint


def teach(
    lm: LM,
    pairs: Sequence[Pair],
    teaching: Teaching,
    *,
    key: str,
    name: str = "teaching",
    rehearsed: Sequence[Pair] = (),
    precision: Precision = "float32",
    progress: Progress | None = None,
    curve: Curve | None = None,
    checkpoint: Checkpoint | None = None,
) -> Curve:
    """Supervised training of all weights on `pairs` and, in every epoch, on the `rehearsed` ones.

    Batches hold texts of similar length; their order and the model's dropout are drawn from random streams of `key`.
    A batch that memory does not hold is run in parts. `curve` is an empty one to fill, for a thread that looks on;
    with `checkpoint` a training that was cut off goes on.
    """
    items = [lm.encode(p.prompt, p.answer, p.raw) for p in (*pairs, *rehearsed)]
    if not items:
        raise UsageError(f"{name}: there is nothing to learn from; the data holds no pair")
    random = stream(key, "batches")
    order = [b for _ in range(teaching.epochs) for b in _length_buckets(items, teaching.batch_size, random)]
    parameters = [p for p in lm.model.parameters() if p.requires_grad]
    room = Room(lm, {"taught": items}, teaching.batch_size, teaching.autocast or precision == "mixed")

    def build(params: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
        groups = [
            {"params": [p for p in params if p.dim() > 1], "weight_decay": teaching.weight_decay},
            {"params": [p for p in params if p.dim() <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=teaching.lr, betas=(0.9, teaching.beta2), fused=True)

    lm.model.train()
    dropout = stream(key, "dropout" if spread.rank() == 0 else f"dropout {spread.rank()}")
    with own_draws(dropout), room, spread.spread(lm, parameters) as (shared, held):

        def loss(part: Part, _: float) -> LossTerms:
            labels = label_logps(shared.model, room.batches(part)["taught"])
            total = labels._replace(total=part.totals.get("taught")).cross_entropy()
            return LossTerms(total, {"loss": total})

        curve = fit(
            shared, held, stepping(held, build), [{"taught": chosen} for chosen in order], loss, room=room,
            warmup=teaching.warmup, decay=teaching.decay, autocast=teaching.autocast or precision == "mixed",
            name=name, progress=progress, curve=curve, checkpoint=checkpoint,
        )  # fmt: skip
    lm.model.eval()
    return curve


def _length_buckets(items: Sequence[Encoded], size: int, random: np.random.Generator) -> list[list[int]]:
    """A random order of the items in batches of similar length: sorted within shuffled runs of 16 batches."""
    order = random.permutation(len(items))
    batches: list[list[int]] = []
    for start in range(0, len(order), 16 * size):
        run = sorted(order[start : start + 16 * size], key=lambda i: len(items[i].prompt) + len(items[i].answer))
        batches += [[int(i) for i in run[b : b + size]] for b in range(0, len(run), size)]
    return [batches[i] for i in random.permutation(len(batches))]
