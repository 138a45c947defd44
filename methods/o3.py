"""O3. Gao et al. 2025, arXiv:2407.10223.

The gate is in `methods/_ood.py`, the updates and their overlap in `methods/_orthogonal.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from bench import kit
from bench.api import LossTerms, Schedule, alternatives, attachment, param, transform
from bench.contracts import Encoded
from bench.errors import BenchError, UsageError
from bench.model.architecture import layers
from bench.model.attachments import Attachment, attach, bare
from bench.needs import Need
from methods import _ood
from methods._orthogonal import Beside, Update, branch, fresh, overlap, projections
from methods.adamw import AdamW

if TYPE_CHECKING:
    import numpy as np
    from torch.utils.hooks import RemovableHandle
    from transformers import PreTrainedModel

    from bench.contracts import LM, Context, Step

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


@transform(
    "o3",
    "orthogonal LoRA for each request, loaded where a prompt looks like the request's (arXiv:2407.10223)",
    family="inference",
    detachable=True,
)
@dataclass(frozen=True)
class O3:
    """A low-rank update that refuses, for each request, and a gate on the prompt that says how much of it is loaded.

    Claim: where an update is kept apart from others and loaded for its own prompts alone, nothing else is lost.

    L_t = CE(refusal) + mu / layers * sum over modules and i < t of ||A_i A_t'||_F^2
    y = W x + w(prompt) (alpha / r) B_t A_t x, for the request t whose w in [0, 1] is largest.

    The gate reads the bare model's mean states over the prompt: in each layer the Mahalanobis distance to the request's
    prompts and the largest cosine to one. It is fitted to the forget questions: "one-class" to them alone, "logistic"
    also to as many retain questions; "published" is the formula of O3's code, whose w is never below 0.119. "held-out"
    lets in what is as near as an unseen prompt of the request, "seen" what is as near as the fitted ones, little else.

    Defaults: rank, mu and the modules (every linear map of a layer) are those of O3's code; learning rate, alpha,
    epochs and refusals its TOFU setting, the batch its other tasks'. The gate's numbers and the schedule are ours.

    Deviations: its encoder is a RoBERTa tuned on the request, here the frozen target; its code subtracts the cosine,
    where nearness raises it. Its update t starts as a copy of t - 1 and serves all requests; here each starts anew
    from the bare model and serves its own. No dropout.

    Cost: a pass over each distinct prompt, in fitting and whenever one is asked. Kept: r (inputs + outputs) numbers
    a module, and of each layer some 2 N numbers for every coordinate of a hidden state, N prompts.
    """

    rank: int = param(8, "rank of the update of each linear map", ge=1)
    alpha: float = param(32.0, "the update is scaled by this over the rank", gt=0)
    lr: float = param(2e-4, "learning rate of AdamW, without decay of weights", gt=0, search=(2e-5, 2e-3, "rate"))
    epochs: int = param(10, "passes over the forget set", ge=1)
    batch_size: int = param(128, "forget items in a step", ge=1)
    orthogonality: float = param(0.1, "weight mu of the overlap with earlier requests", ge=0)
    labels: str = param("refusal", "what is answered in place of the truth: refusals or random tokens", choices=LABELS)
    detector: str = param("one-class", "how the gate is fitted and what it sees", choices=DETECTORS)
    quantile: float = param(
        0.95, "share of forget prompts let in (one-class), of retain prompts kept out (logistic)", gt=0, lt=1
    )
    threshold: str = param("held-out", "one-class: which forget prompts the share is of", choices=THRESHOLDS)
    steepness: float = param(10.0, "one-class: how sharply the gate shuts, by deviation of held-out scores", gt=0)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it is taught from the task, for keys: another refusal makes another model."""
        return (Refuse.needs,) if self.labels == "refusal" else ()

    def __call__(self, context: Context) -> LM:
        """The model with one request more.

        Raises:
            UsageError: the forget set is empty, or the retain set is and the gate is to see it.
            BenchError: too few different prompts for a gate, layers that are not recognised, a loss that is not finite.
        """
        if not context.forget:
            raise UsageError(f"{context.task}: the forget set is empty, so there is nothing to unlearn with")
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
            seen = self.threshold == "seen"
            return _ood.one_class(pooled, order, quantile=self.quantile, steepness=self.steepness, seen=seen)
        if self.detector == "published":
            return _ood.of_mixture(pooled, order)
        if not context.retain:
            raise UsageError(f"{context.task}: the retain set is empty. Take detector=one-class, which needs none.")
        chosen = [context.retain[i] for i in random.permutation(len(context.retain))[: len(context.forget)]]
        retain = _pooled(context, chosen, "reading retain prompts")
        return _ood.logistic(pooled, retain, order, quantile=self.quantile)

    def _trained(self, context: Context, number: int, earlier: Sequence[Mapping[str, Tensor]]) -> dict[str, Update]:
        """The update of a request, trained beside the bare model."""
        lm = bare(context.lm)
        random = context.stream(f"o3 update {number}")
        generator = torch.Generator(lm.device).manual_seed(int(random.integers(2**62)))
        drawn = fresh(projections(lm.model), self.rank, generator)
        beside = Beside({n: nn.ParameterDict({"a": a, "b": b}) for n, (a, b) in drawn.items()}, self.alpha / self.rank)
        given = dataclasses.replace(context, lm=lm)
        if self.labels == "random":
            size = lm.model.config.get_text_config(decoder=True).vocab_size
            random_answers = [[random_answer(item, size, random)] for item in context.forget]
            given = dataclasses.replace(given, alternatives=lambda kind: random_answers)
        schedule = Schedule(self.epochs, self.batch_size)
        refuse = Refuse(beside.updates, tuple(earlier), len(layers(lm.model)), self.orthogonality)
        kit.train(given, refuse, AdamW(self.lr, weight_decay=0.0), schedule, beside)
        return {name: (held["a"].detach(), held["b"].detach()) for name, held in beside.updates.items()}


@dataclass(frozen=True)
class Refuse:
    """What a request's update is trained on: the answers in place of the truth, and the updates before it."""

    retain: ClassVar[bool] = False
    needs: ClassVar[Need] = alternatives("refusal")

    updates: Mapping[str, nn.ParameterDict]
    earlier: tuple[Mapping[str, Tensor], ...]
    depth: int
    orthogonality: float

    def loss(self, step: Step) -> LossTerms:
        """CE(other answers) + mu overlap."""
        refusal = step.alternative.cross_entropy()
        near = overlap({name: held["a"] for name, held in self.updates.items()}, self.earlier, self.depth)
        return LossTerms(refusal + self.orthogonality * near.to(refusal), {"refusal": refusal, "overlap": near})


def random_answer(item: Encoded, size: int, random: np.random.Generator) -> Encoded:
    """The item with as many tokens drawn at random from a vocabulary of `size` in its answer's place; its end stays."""
    return Encoded(item.prompt, [*random.integers(0, size, len(item.answer) - 1).tolist(), item.answer[-1]])


def _pooled(context: Context, items: Sequence[Encoded], doing: str) -> Tensor:
    """[N, L, D] float64 of the N different prompts of `items` that have tokens."""
    lm, prompts = context.lm, [p for p in dict.fromkeys(tuple(item.prompt) for item in items) if p]
    if not prompts:
        raise BenchError(f"{context.task}: no item has a prompt, and O3 tells requests by their prompts")
    found = []
    lm.model.eval()
    for done, prompt in enumerate(prompts, 1):
        found.append(_ood.encode(lm.model, torch.tensor(prompt, device=lm.device)))
        context.progress(doing, done, len(prompts))
    return torch.stack(found).double()
