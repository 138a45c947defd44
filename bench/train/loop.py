"""The one training loop: it teaches models from scratch and it drives every gradient method of unlearning.

Shapes: B batch, T time (label positions, padded at the end), V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from bench.api import LossTerms, Objective, Optimizer, Pair, Schedule, Scope
from bench.errors import BenchError, UsageError
from bench.keys import stream
from bench.model.heads import label_logits
from bench.model.models import LM, Encoded
from bench.model.recipes import Teaching
from bench.train.masking import trainable
from bench.train.tracking import Log

Progress = Callable[[str, int, int], None]
IGNORED = -100


class Diverged(BenchError):
    """A loss or a gradient stopped being finite: a result, not a crash."""


class Labels(NamedTuple):
    """Log-probabilities of a batch's labels (answer tokens and the end-of-sequence token; never the prompt).

    Attributes:
        logp: [B, T] float32, 0 where `mask` is False.
        mask: [B, T] bool, from true lengths.
    """

    logp: Tensor
    mask: Tensor

    def sums(self) -> Tensor:
        """[B] log-probability of each whole answer."""
        return self.logp.sum(-1)

    def counts(self) -> Tensor:
        """[B] number of labels of each answer."""
        return self.mask.sum(-1)

    def cross_entropy(self) -> Tensor:
        """Mean over all labels of the batch of -log p."""
        return -self.logp.sum() / self.mask.sum()


class Batch(NamedTuple):
    """Right-padded token ids [B, L], their attention mask [B, L], and labels [B, L] (-100 where there is none)."""

    ids: Tensor
    mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(t.to(device, non_blocking=True) for t in self))


def collate(items: Sequence[Encoded], pad: int) -> Batch:
    """Pad on the right; `labels[i, t]` is what position t must predict, so the shift is done here and nowhere else.

    Lengths are rounded up to a multiple of 8: kernels that are compiled for a shape are then compiled a few times and
    not for every batch anew.
    """
    ids = [torch.tensor((item.prompt + item.answer)[:-1]) for item in items]
    labels = [torch.tensor(([IGNORED] * len(item.prompt) + item.answer)[1:]) for item in items]
    lengths = torch.tensor([len(i) for i in ids])
    width = -(-int(lengths.max()) // 8) * 8
    padded, expected = (
        torch.nn.functional.pad(padded, (0, width - padded.shape[1]), value=filler)
        for padded, filler in (
            (pad_sequence(ids, batch_first=True, padding_value=pad), pad),
            (pad_sequence(labels, batch_first=True, padding_value=IGNORED), IGNORED),
        )
    )
    return Batch(padded, (torch.arange(width) < lengths[:, None]).long(), expected)


def label_logps(model: PreTrainedModel, batch: Batch) -> Labels:
    """Log-probability of every label of a batch; the head runs on label positions only, the softmax in float32."""
    where = batch.labels != IGNORED
    logits = label_logits(model, batch.ids, batch.mask, where).float()
    flat = -torch.nn.functional.cross_entropy(logits, batch.labels[where], reduction="none")
    counts = where.sum(1)
    mask = torch.arange(int(counts.max()), device=flat.device) < counts[:, None]
    return Labels(flat.new_zeros(mask.shape).masked_scatter(mask, flat), mask)


def sampled_cross_entropy(
    model: PreTrainedModel, batches: Iterable[Batch], generator: torch.Generator
) -> tuple[Tensor, int]:
    """Mean cross-entropy over labels that the model itself proposes at every label position, and their number.

    What the Gauss-Newton-Bartlett estimate of the curvature is made from (arXiv:2305.14342, algorithm 2).
    """
    found = [label_logits(model, b.ids, b.mask, b.labels != IGNORED).float() for b in batches]
    logits = torch.cat(found)
    proposed = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator).squeeze(1)
    return torch.nn.functional.cross_entropy(logits, proposed), len(proposed)


class Curve:
    """The course of a run: one line a step, and what a cheap probe saw at a few points on the way."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []
        self.trace: list[dict[str, float]] = []

    def columns(self, limit: int = 100) -> dict[str, list[float]]:
        """Columns of at most `limit` evenly spaced steps, to five digits, and of the trace, named `trace ...`."""
        keep = np.unique(np.linspace(0, len(self.lines) - 1, min(limit, len(self.lines))).round().astype(int))
        found = _columns([self.lines[i] for i in keep])
        return found | {f"trace {name}": values for name, values in _columns(self.trace).items()}


def _columns(lines: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    names = lines[0] if lines else {}
    return {name: [float(f"{line.get(name, math.nan):.5g}") for line in lines] for name in names}


def fit(
    lm: LM,
    parameters: Sequence[torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Any],
    loss: Callable[[Any, float], LossTerms],
    *,
    warmup: float,
    decay: str = "linear",
    clip: float = 1.0,
    autocast: bool = False,
    name: str = "training",
    progress: Progress | None = None,
    probe: Callable[[], dict[str, float]] | None = None,
    points: int = 10,
    curvature: Callable[[Any, float], tuple[Tensor, int]] | None = None,
    log: Log | None = None,
) -> Curve:
    """One step a batch: linear warm-up, then linear or cosine decay of the learning rate to zero.

    `loss` maps a batch and the share of the run that is done to the terms; whatever parameters it moves were chosen
    before. With `clip` > 0 the global norm of the gradients is bounded. `probe` is called before the first step and at
    `points` evenly spaced ones, and makes the curve's trace. `curvature` gives an optimizer that asks for it
    (`curvature_due`) the loss of its curvature estimate and the number of labels in it. `log` gets every line of the
    curve as it is made.

    Raises:
        Diverged: the loss or the gradient norm is not finite; the message says at which step.
    """
    accelerator = Accelerator(cpu=lm.device.type == "cpu")
    prepared: AcceleratedOptimizer = accelerator.prepare_optimizer(optimizer, device_placement=False)
    total = len(batches)
    rises = max(1, round(warmup * total))

    def rate(step: int) -> float:
        if step < rises:
            return (step + 1) / rises
        left = (total - step) / max(1, total - rises)
        return left if decay == "linear" else 0.5 * (1 - math.cos(math.pi * left))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    curve = Curve()
    watched = {round(total * k / points) for k in range(points)} if probe else set()
    for step, batch in enumerate(batches):
        if step in watched and probe:
            curve.trace.append({"step": step, **probe()})
        prepared.zero_grad()
        if curvature and getattr(optimizer, "curvature_due", False):
            optimizer.update_curvature(*curvature(batch, step / total))  # type: ignore[attr-defined]
        with torch.autocast(lm.device.type, torch.bfloat16, enabled=autocast):
            terms = loss(batch, step / total)
        accelerator.backward(terms.total)
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if not bool(torch.isfinite(terms.total) & torch.isfinite(norm)):
            raise Diverged(f"{name} diverged at step {step + 1} of {total}: the loss or its gradient is not finite")
        if clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        line: dict[str, float] = {
            "step": step + 1,
            "lr": float(scheduler.get_last_lr()[0]),
            "gradient_norm": norm.item(),
        }
        prepared.step()
        scheduler.step()
        line |= {key: value.item() for key, value in terms.parts.items()}
        clipped = getattr(optimizer, "clipped", None)
        if clipped is not None:
            line["clipped"] = float(clipped)
        curve.lines.append(line)
        if log:
            log(line, step + 1)
        if progress:
            progress(name, step + 1, total)
    if probe:
        curve.trace.append({"step": total, **probe()})
    return curve


def teach(
    lm: LM,
    pairs: Sequence[Pair],
    teaching: Teaching,
    *,
    key: str,
    name: str = "teaching",
    rehearsed: Sequence[Pair] = (),
    progress: Progress | None = None,
) -> Curve:
    """Supervised training of all weights on `pairs` and, in every epoch, on the `rehearsed` ones.

    Batches hold texts of similar length; their order is drawn from the random stream `key`.
    """
    items = [lm.encode(p.prompt, p.answer, p.raw) for p in (*pairs, *rehearsed)]
    if not items:
        raise UsageError(f"{name}: there is nothing to learn from; the data holds no pair")
    random = stream(key, "batches")
    order = [b for _ in range(teaching.epochs) for b in _length_buckets(items, teaching.batch_size, random)]
    parameters = [p for p in lm.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": teaching.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=teaching.lr,
        betas=(0.9, teaching.beta2),
        fused=True,
    )

    def loss(chosen: Sequence[int], _: float) -> LossTerms:
        batch = collate([items[i] for i in chosen], lm.pad).to(lm.device)
        total = label_logps(lm.model, batch).cross_entropy()
        return LossTerms(total, {"loss": total})

    lm.model.train()
    curve = fit(
        lm, parameters, optimizer, order, loss,
        warmup=teaching.warmup, decay="cosine", autocast=teaching.autocast, name=name, progress=progress,
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


@dataclass(frozen=True)
class Context:
    """What a scope or a `transform` sees: a private copy of the model it starts from, and the two sets.

    `cache` is a folder for side products that are named by content (neuron masks).
    """

    lm: LM
    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    task: str
    seed: int
    cache: Path
    progress: Progress

    def stream(self, name: str) -> np.random.Generator:
        """The cell's random stream of that name; methods of one task and seed draw the same, so they are paired."""
        return stream(self.task, self.seed, name)


@dataclass
class Step:
    """What an objective sees of one step; nothing is run before it is asked for."""

    model: PreTrainedModel
    batches: Mapping[str, Batch]
    reference: Tensor  # [B] log-probability of each forget answer under the start model
    progress: float
    _ran: dict[str, Labels] = field(default_factory=dict)

    @property
    def forget(self) -> Labels:
        return self._labels("forget")

    @property
    def retain(self) -> Labels:
        return self._labels("retain")

    def _labels(self, which: str) -> Labels:
        if which not in self._ran:
            self._ran[which] = label_logps(self.model, self.batches[which])
        return self._ran[which]


@torch.no_grad()
def answer_logps(lm: LM, items: Sequence[Encoded], batch_size: int = 32) -> Tensor:
    """[N] log-probability of each answer: once for a whole run, so that no reference model has to stay in memory."""
    order = sorted(range(len(items)), key=lambda i: len(items[i].prompt) + len(items[i].answer))
    found = torch.empty(len(items), device=lm.device)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        found[chosen] = label_logps(lm.model, collate([items[i] for i in chosen], lm.pad).to(lm.device)).sums()
    return found


def unlearn(
    context: Context,
    objective: Objective,
    optimizer: Optimizer,
    scope: Scope,
    schedule: Schedule,
    trace: int = 10,
    log: Log | None = None,
) -> tuple[Curve, int]:
    """Run a gradient method on `context.lm` in place.

    One epoch is one pass over the forget set in random order; each forget item meets one retain item drawn uniformly
    with replacement, as in TOFU, SOUL and open-unlearning.

    Args:
        trace: points on the way, beside the start, at which forgetting and keeping are probed; 0 is none.
        log: gets the lines of the training curve as they are made.

    Returns:
        The training curve and the number of weights that could move.

    Raises:
        Diverged: the loss stopped being finite.
        UsageError: the forget set is empty, or the retain set is and the objective needs it.
    """
    lm = context.lm
    needs_retain = getattr(objective, "retain", True)
    for name, items in (("forget", context.forget), ("retain", context.retain if needs_retain else [None])):
        if not items:
            raise UsageError(f"{context.task}: the {name} set is empty, so there is nothing to unlearn with")
    reference = answer_logps(lm, context.forget) if objective.reference else torch.zeros(len(context.forget))
    random = context.stream("batches")
    order = [
        chunk
        for _ in range(schedule.epochs)
        for chunk in np.array_split(random.permutation(len(context.forget)), _steps(len(context.forget), schedule))
    ]
    partners = [random.integers(0, max(1, len(context.retain)), len(chunk)) for chunk in order]

    def batches(drawn: tuple[np.ndarray, np.ndarray]) -> dict[str, Batch]:
        named = {"forget": [context.forget[i] for i in drawn[0]]}
        if needs_retain:
            named["retain"] = [context.retain[i] for i in drawn[1]]
        return {name: collate(items, lm.pad).to(lm.device) for name, items in named.items()}

    def loss(drawn: tuple[np.ndarray, np.ndarray], done: float) -> LossTerms:
        return objective.loss(Step(lm.model, batches(drawn), reference[drawn[0]].to(lm.device), done))

    labels = torch.Generator(lm.device).manual_seed(int(context.stream("sampled labels").integers(2**62)))

    def curvature(drawn: tuple[np.ndarray, np.ndarray], done: float) -> tuple[Tensor, int]:
        if getattr(optimizer, "curvature", "") == "hutchinson":
            with sdpa_kernel(SDPBackend.MATH):  # the only attention that torch can differentiate twice
                return loss(drawn, done).total, 1
        return sampled_cross_entropy(lm.model, batches(drawn).values(), labels)

    lm.model.eval()
    with trainable(lm.model, scope.select(context)) as parameters:
        curve = fit(
            lm, parameters, optimizer.build(parameters), list(zip(order, partners)), loss,
            warmup=schedule.warmup, clip=schedule.clip, name="unlearning", progress=context.progress,
            probe=_trade_off(context) if trace else None, points=trace, curvature=curvature, log=log,
        )  # fmt: skip
        moved = sum(p.numel() for p in parameters)
    if not all(bool(torch.isfinite(p).all()) for p in lm.model.parameters()):
        raise Diverged("unlearning left weights that are not finite")
    return curve, moved


def _trade_off(context: Context, sample: int = 64) -> Callable[[], dict[str, float]]:
    """A probe of where a run stands between forgetting and keeping: the mean over a sample of p(answer)^(1/labels)."""
    random = context.stream("trace")
    samples = {
        name: [items[i] for i in random.permutation(len(items))[:sample]]
        for name, items in (("forget", context.forget), ("retain", context.retain))
        if items
    }
    lengths = {name: torch.tensor([len(item.answer) for item in items]) for name, items in samples.items()}

    def probe() -> dict[str, float]:
        logps = {name: answer_logps(context.lm, items, sample).cpu() for name, items in samples.items()}
        return {f"{name} probability": (logps[name] / lengths[name]).exp().mean().item() for name in samples}

    return probe


def _steps(items: int, schedule: Schedule) -> int:
    return math.ceil(items / schedule.batch_size)
