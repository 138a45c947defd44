"""O3. Gao et al. 2025, arXiv:2407.10223: an orthogonal low-rank update for each request, loaded by what the prompt is.

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
    """An update that refuses, trained on the forget set alone, and a gate on the prompt that loads it.

    Claim: the weights stay as they are; each request gets an update of its own, kept apart from those before it, and a
    detector that tells from the prompt how much of it to load.

    L_t = CE(answer, refusal) + mu / layers * sum over modules and i < t of ||A_i A_t'||_F^2, and then
    y = W x + w(prompt) (alpha / r) B_t A_t x, for the request t whose w in [0, 1] is largest.

    The gate (`methods/_ood.py`) is fitted to questions alone. "one-class" asks how far the prompt is from those of the
    request; "logistic" also looks at as many retain prompts, which O3 does not; "published" is the formula of O3's
    code, whose gate never shuts: far from the request w is 0.119.

    Defaults: rank, dropout, mu and the modules are those of O3's code; learning rate, alpha, epochs and refusals are
    its TOFU setting, the batch of 128 that of its other tasks. Steepness is the factor of its gate; ridge is ours.

    Deviations: the code's encoder is a RoBERTa fine-tuned on the request, here it is the frozen target. Its adapter t
    starts as a copy of t - 1 and the last is loaded for all; here each starts anew and is loaded for its own request.
    Warm-up is a share of the steps, its 100 being more than TOFU has. The code subtracts the cosine where nearness
    raises it.

    Cost: one pass over each distinct prompt for the gate, when it is made and whenever a prompt comes; training passes
    through the bare model and the update. Kept: r (inputs + outputs) numbers a module, and about 2 N numbers a
    coordinate of the hidden states of each layer, N prompts.
    """

    rank: int = param(8, "rank of the update of each linear map", ge=1)
    alpha: float = param(32.0, "the update is scaled by this over the rank", gt=0)
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
        schedule = Schedule(self.epochs, self.batch_size, self.warmup, self.clip)
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
