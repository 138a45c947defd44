"""O3. Gao et al. 2025, arXiv:2407.10223: an orthogonal low-rank update for each request, loaded by what the prompt is.

The gate is in `methods/_ood.py`, the updates and their overlap in `methods/_orthogonal.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from bench.api import attachment, param, transform
from bench.contracts import Encoded
from bench.errors import BenchError, UsageError
from bench.model.architecture import layers
from bench.model.attachments import Attachment, attach, bare
from bench.model.heads import label_logits
from methods import _ood
from methods._orthogonal import Update, branch, fresh, overlap, projections

if TYPE_CHECKING:
    import numpy as np
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

    from bench.contracts import LM, Context

DETECTORS = ("one-class", "logistic", "published")
LABELS = ("refusal", "random")
THRESHOLDS = ("held-out", "seen")


@attachment("o3")
@dataclass(frozen=True)
class Requests(Attachment):
    """The updates and gates of the requests so far. The request whose gate is widest decides, the others stay off.

    Attributes:
        a, b: "REQUEST.MODULE" -> A [r, inputs] and B [outputs, r] of that linear map; requests count from 0.
        gates: "REQUEST.PART" -> the tensors of `_ood.Detector`.
        scales: of each request, alpha / r.
    """

    a: Mapping[str, Tensor]
    b: Mapping[str, Tensor]
    gates: Mapping[str, Tensor]
    scales: tuple[float, ...]

    def gate(self, model: PreTrainedModel, prompt: Tensor) -> Tensor:
        """[R]: the weight of the request that the prompt is nearest to, and 0 for the others; all 0 without tokens."""
        if not len(prompt):
            return torch.zeros(len(self.scales), device=prompt.device)
        pooled = _ood.encode(model, prompt)[None]
        found = torch.cat([detector.gate(pooled) for detector in self.detectors])
        return torch.where(torch.arange(len(found), device=found.device) == found.argmax(), found, 0.0)

    def hooks(self, model: PreTrainedModel, gate: Tensor, place: Tensor) -> Iterable[RemovableHandle]:
        """Every linear map gives w (alpha / r) B A x more, with w [B] the gate of the row's prompt."""
        return [
            model.get_submodule(name).register_forward_hook(branch(update, scale * gate[:, request]))
            for request, scale in enumerate(self.scales)
            if bool(gate[:, request].any())
            for name, update in self.updates[request].items()
        ]

    @cached_property
    def detectors(self) -> tuple[_ood.Detector, ...]:
        """The gate of each request."""
        return tuple(_ood.restored(_of(self.gates, request)) for request in range(len(self.scales)))

    @cached_property
    def updates(self) -> tuple[dict[str, Update], ...]:
        """The update of each request, by module."""
        sides = ((_of(self.a, request), _of(self.b, request)) for request in range(len(self.scales)))
        return tuple({name: (matrix, b[name]) for name, matrix in a.items()} for a, b in sides)

    def joined(self, updates: Mapping[str, Update], detector: _ood.Detector, scale: float) -> Requests:
        """These and one request more."""
        at = len(self.scales)
        a, b = ({f"{at}.{name}": pair[side] for name, pair in updates.items()} for side in (0, 1))
        gates = {f"{at}.{name}": tensor for name, tensor in detector.tensors().items()}
        return Requests({**self.a, **a}, {**self.b, **b}, {**self.gates, **gates}, (*self.scales, scale))


def _of(tensors: Mapping[str, Tensor], request: int) -> dict[str, Tensor]:
    start = f"{request}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


@transform("o3", "orthogonal LoRA for each request, loaded where a prompt looks like the request's", detachable=True)
@dataclass(frozen=True)
class O3:
    """An update that refuses, trained on the forget set alone, and a gate on the prompt that loads it.

    Claim: the weights stay as they are; each request gets an update of its own, kept apart from those before it, and a
    detector that tells from the prompt how much of it to load.

    L_t = CE(answer, refusal) + mu / layers * sum over modules and i < t of ||A_i A_t'||_F^2, and then
    y = W x + w(prompt) (alpha / r) B_t A_t x, for the request t whose w in [0, 1] is largest.

    The encoder of the gate is the bare model (`methods/_ood.py`). "one-class" asks how far the prompt is from those of
    the request; "logistic" also looks at as many retain prompts, which O3 does not; "published" is the formula of O3's
    code, whose gate never shuts: far from the request w is 0.119. All are fitted to questions of the sets, no others.

    Defaults: rank, dropout, mu and the modules are those of O3's code; learning rate, alpha, epochs and refusals are
    its TOFU setting, the batch of 128 that of its other tasks. Steepness is the factor of its gate; ridge is ours.

    Deviations: the code's encoder is a RoBERTa fine-tuned on the request, here it is the frozen target. Its adapter t
    starts as a copy of t - 1 and the last is loaded for all; here each starts anew from the bare model (A random, B 0)
    and is loaded for its own request, so that a later request takes nothing from an earlier one. Warm-up is a share of
    the steps, for its 100 steps are more than all of TOFU's. The code subtracts the cosine where nearness raises it.

    Cost: one pass over each distinct prompt for the gate, when it is made and whenever a prompt comes; training passes
    through the bare model and the update. Kept: r (inputs + outputs) numbers a module, and about 2 N numbers a
    coordinate of the hidden states of each layer, N prompts.
    """

    rank: int = param(8, "rank of the update of each linear map", ge=1)
    alpha: float = param(32.0, "the update is scaled by this over the rank", gt=0)
    dropout: float = param(0.05, "share of what A reads that is dropped in training", ge=0, lt=1)
    lr: float = param(2e-4, "learning rate of AdamW, without decay of weights", gt=0)
    epochs: int = param(10, "passes over the forget set", ge=1)
    batch_size: int = param(128, "forget items in a step", ge=1)
    warmup: float = param(0.1, "share of the steps over which the learning rate rises linearly", ge=0, lt=1)
    clip: float = param(1.0, "bound of the global gradient norm; 0 is none", ge=0)
    orthogonality: float = param(0.1, "weight mu of the overlap with earlier requests", ge=0)
    labels: str = param("refusal", "what is answered in place of the truth: refusals or random tokens", choices=LABELS)
    detector: str = param("one-class", "how the gate is fitted and what it sees", choices=DETECTORS)
    quantile: float = param(
        0.95, "share of forget prompts let in (one-class), of retain prompts kept out (logistic)", gt=0, lt=1
    )
    threshold: str = param("held-out", "one-class: which forget prompts the share is of", choices=THRESHOLDS)
    steepness: float = param(10.0, "one-class: how sharply the gate shuts, by deviation of held-out scores", gt=0)
    shrinkage: float = param(0.1, "share of the covariance that is its mean variance on the diagonal", gt=0, le=1)
    ridge: float = param(0.01, "logistic: half of it times the squared weights is added to the mean loss", gt=0)

    def __call__(self, context: Context) -> LM:
        """The model with one request more.

        Raises:
            UsageError: the forget set is empty, or the retain set is and the gate is to see it.
            BenchError: too few different prompts for a gate, layers that are not recognised, a loss that is not finite.
        """
        if not context.forget:
            raise UsageError(f"{context.task}: the forget set is empty, so there is nothing to unlearn")
        lm = context.lm
        before = next((each for each in lm.attached if isinstance(each, Requests)), Requests({}, {}, {}, ()))
        others = [each for each in lm.attached if each is not before]
        number = len(before.scales)
        detector = self._detector(context, number)
        updates = self._trained(context, number, [{n: a for n, (a, _) in u.items()} for u in before.updates])
        return attach(bare(lm), *others, before.joined(updates, detector, self.alpha / self.rank))

    def _detector(self, context: Context, number: int) -> _ood.Detector:
        """The gate of a request, fitted to the prompts of the forget set, and of the retain set where it may see it."""
        random = context.stream(f"o3 gate {number}")
        pooled = _pooled(context, context.forget, "reading prompts")
        order = random.permutation(len(pooled)).tolist()
        if self.detector == "one-class":
            return _ood.one_class(
                pooled, shrinkage=self.shrinkage, quantile=self.quantile, steepness=self.steepness,
                seen=self.threshold == "seen", order=order,
            )  # fmt: skip
        if self.detector == "published":
            return _ood.of_mixture(pooled, shrinkage=self.shrinkage, order=order)
        if not context.retain:
            raise UsageError(f"{context.task}: the retain set is empty. Take detector=one-class, which needs none.")
        chosen = [context.retain[i] for i in random.permutation(len(context.retain))[: len(context.forget)]]
        retain = _pooled(context, chosen, "reading retain prompts")
        return _ood.logistic(
            pooled, retain, shrinkage=self.shrinkage, quantile=self.quantile, ridge=self.ridge, order=order
        )

    def _trained(self, context: Context, number: int, earlier: Sequence[Mapping[str, Tensor]]) -> dict[str, Update]:
        """The update of a request, trained beside the bare model."""
        lm, random = context.lm, context.stream(f"o3 {number}")
        generator = torch.Generator(lm.device).manual_seed(int(random.integers(2**62)))
        updates = fresh(projections(lm.model), self.rank, generator)
        own = [matrix.requires_grad_() for pair in updates.values() for matrix in pair]
        steps = _steps(len(context.forget), self.epochs, self.batch_size, random)
        optimizer = torch.optim.AdamW(own, lr=self.lr, weight_decay=0.0)
        depth = len(layers(lm.model))
        answer = _wrong_answers(context, self.labels, random)
        with _beside(lm.model, updates, self.alpha / self.rank, _dropping(self.dropout, generator)):
            for step, chosen in enumerate(steps):
                optimizer.param_groups[0]["lr"] = self.lr * _rate(step, len(steps), self.warmup)
                near = overlap({name: a for name, (a, _) in updates.items()}, earlier, depth)
                loss = _cross_entropy(lm, [answer(i) for i in chosen]) + self.orthogonality * near.to(lm.device)
                if not math.isfinite(loss.item()):
                    raise BenchError(f"o3 diverged at step {step + 1} of {len(steps)}: its loss is not finite")
                optimizer.zero_grad()
                loss.backward(inputs=own)
                if self.clip:
                    torch.nn.utils.clip_grad_norm_(own, self.clip)
                optimizer.step()
                context.progress("unlearning", step + 1, len(steps))
        return {name: (a.detach(), b.detach()) for name, (a, b) in updates.items()}


# -- what the gate is fitted to, and what the update is trained on -----------------------------------------------------


def _pooled(context: Context, items: Sequence[Encoded], doing: str) -> Tensor:
    """[N, L, D] float64 of the N different prompts of `items` that have tokens."""
    lm, prompts = context.lm, [p for p in dict.fromkeys(tuple(item.prompt) for item in items) if p]
    found = []
    lm.model.eval()
    for done, prompt in enumerate(prompts, 1):
        found.append(_ood.encode(lm.model, torch.tensor(prompt, device=lm.device)))
        context.progress(doing, done, len(prompts))
    if not found:
        raise BenchError(f"{context.task}: no item has a prompt, and O3 tells requests by their prompts")
    return torch.stack(found).double()


def _steps(count: int, epochs: int, size: int, random: np.random.Generator) -> list[list[int]]:
    """The items of each step: every epoch all of them, in an order of its own."""
    orders = [random.permutation(count).tolist() for _ in range(epochs)]
    return [order[at : at + size] for order in orders for at in range(0, count, size)]


def _rate(step: int, total: int, warmup: float) -> float:
    """The share of the learning rate: up in a line over `warmup` of the steps, then down to zero."""
    rises = max(1, round(warmup * total))
    return (step + 1) / rises if step < rises else (total - step) / max(1, total - rises)


def _wrong_answers(context: Context, labels: str, random: np.random.Generator) -> Callable[[int], Encoded]:
    """What stands for the truth of item i each time that it is asked for: a refusal, or as many random tokens."""
    items, tokenizer = context.forget, context.lm.tokenizer
    if labels == "random":
        size = context.lm.model.config.get_text_config(decoder=True).vocab_size
        drawn = [random.integers(0, size, len(item.answer) - 1).tolist() + item.answer[-1:] for item in items]
        return lambda i: Encoded(items[i].prompt, drawn[i])
    refusal = [*tokenizer.encode(" I don't know.", add_special_tokens=False), items[0].answer[-1]]
    return lambda i: Encoded(items[i].prompt, refusal)


def _cross_entropy(lm: LM, items: Sequence[Encoded]) -> Tensor:
    """The mean over all labels of -log p."""
    rows = [torch.tensor((item.prompt + item.answer)[:-1]) for item in items]
    firsts = [max(len(item.prompt), 1) for item in items]
    labels = [torch.tensor((item.prompt + item.answer)[first:]) for item, first in zip(items, firsts, strict=True)]
    ids = pad_sequence(rows, batch_first=True, padding_value=lm.pad)
    place = torch.arange(ids.shape[1])
    first, end = (torch.tensor(n)[:, None] for n in (firsts, [len(row) for row in rows]))
    at = ((place >= first - 1) & (place < end)).flatten().nonzero().squeeze(1)
    logits = label_logits(lm.model, ids.to(lm.device), (place < end).long().to(lm.device), at.to(lm.device))
    return F.cross_entropy(logits.float(), torch.cat(labels).to(lm.device))


@contextmanager
def _beside(
    model: PreTrainedModel, updates: Mapping[str, Update], scale: float, thin: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """The updates beside their linear maps, in full, within the block."""
    hooks = [model.get_submodule(n).register_forward_hook(branch(each, scale, thin)) for n, each in updates.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _dropping(share: float, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Dropout from a generator of its own."""

    def drop(x: Tensor) -> Tensor:
        kept = torch.rand(x.shape, generator=generator, device=x.device) >= share
        return x * kept / (1 - share)

    return drop if share else lambda x: x
