"""Sophia: clipped, diagonally preconditioned steps. Liu et al. 2023, arXiv:2305.14342; as used for unlearning by SOUL
(Jia et al. 2024, arXiv:2404.18239) and SIMU (Agarwal et al. 2025, arXiv:2510.07822)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.api import optimizer, param
from methods._groups import decay_groups

# SOUL's rho times batch size, 0.04 * 5120, for the squared gradient of a mean loss; Sophia-G's rho, 0.04 in its code,
# for one that is n times as large; Sophia-H's gamma (Liu et al.).
GAMMA = {"empirical": 204.8, "gauss-newton-bartlett": 0.04, "hutchinson": 0.01}
CURVATURES = tuple(GAMMA)
_BLOCK, _DEVICE_BLOCK = 1 << 18, 1 << 26  # numbers that are updated at once on a CPU and on an accelerator


class Sophia(torch.optim.Optimizer):
    """Sophia's update, elementwise, for gradient g, momentum m and curvature h:

        m <- beta1 m + (1 - beta1) g
        h <- beta2 h + (1 - beta2) h_hat                    in every `curvature_every`-th step
        theta <- theta (1 - lr weight_decay)
        theta <- theta - lr clip(m / max(gamma h, eps), 1)

    so that no weight ever moves by more than lr (decay aside). There is no bias correction. The estimate h_hat is

    - "empirical": g * g of the step's own gradient, which is what SOUL's code does;
    - "gauss-newton-bartlett": n * g_hat * g_hat, with g_hat the gradient of the mean cross-entropy over n labels that
      were sampled from the model itself (Liu et al., algorithm 2);
    - "hutchinson": u * (H u), with u of random signs and H the Hessian of the loss (algorithm 1).

    For the last two the training loop asks before each step and feeds a loss whose graph is alive:

        if optimizer.curvature_due:
            optimizer.update_curvature(loss, count)

    with loss the sampled labels' mean cross-entropy and count their number, or the objective's loss (count 1). The
    gradients in `.grad` are not touched. "empirical" needs nothing: `curvature_due` is never true.

    Args:
        params: parameters or parameter groups; groups may have their own `lr` and `weight_decay`.
        lr: learning rate, the bound of every step.
        betas: decay of the momentum and of the curvature.
        gamma: scale of the curvature; that of `GAMMA` for the source when None.
        eps: smallest denominator.
        weight_decay: decoupled decay.
        curvature: one of the three above.
        curvature_every: steps from one estimate to the next.
        double_momentum: fold each gradient into m twice, as SOUL's code does (so that 0.9 acts as 0.81).
        generator: source of Hutchinson's signs.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        gamma: float | None = None,
        eps: float = 1e-15,
        weight_decay: float = 0.0,
        curvature: str = "empirical",
        curvature_every: int = 1,
        double_momentum: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        beta1, beta2 = betas
        self.beta1, self.beta2 = (beta1 * beta1 if double_momentum else beta1), beta2
        self.gamma, self.eps = GAMMA[curvature] if gamma is None else gamma, eps
        self.curvature, self.curvature_every = curvature, curvature_every
        self.generator = generator
        self.steps = 0
        self._scratch: Tensor | None = None

    @property
    def curvature_due(self) -> bool:
        """Whether `update_curvature` is to be called before the next step."""
        return self.curvature != "empirical" and self.steps % self.curvature_every == 0

    @property
    def clipped(self) -> float:
        """Share of the weights whose last step was clipped to lr; NaN before the first. Costs a pass over the state."""
        rows: list[tuple[Tensor, Tensor]] = [(state["m"], state["h"]) for state in self.state.values()]
        if not rows:
            return float("nan")
        floor = self.eps / self.gamma
        hits = [
            torch.count_nonzero(mean.abs() >= self.gamma * square.clamp_min(floor))
            for m, h in _blocks(rows)
            for mean, square in zip(m, h, strict=True)
        ]
        return float(torch.stack(hits).sum()) / sum(m.numel() for m, _ in rows)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            states = [self._state(p) for p in params]
            rows = [(p, cast(Tensor, p.grad), s["m"], s["h"]) for p, s in zip(params, states, strict=True)]
            for theta, grads, m, h in _blocks(rows):
                self._accumulate(theta, grads, m, h, float(group["lr"]), group["weight_decay"])
                self._move(theta, m, h, float(group["lr"]))
        self.steps += 1
        return loss

    @torch.no_grad()
    def update_curvature(self, loss: Tensor | Iterable[Tensor], count: int = 1) -> None:
        """Fold one estimate of the curvature's diagonal into h.

        Args:
            loss: a scalar whose graph is alive: for "gauss-newton-bartlett" the mean cross-entropy over labels sampled
                from the model, for "hutchinson" the objective's loss. Or several that add up to it, each of which is
                asked for when the graph of the one before is gone.
            count: for "gauss-newton-bartlett" how many labels were sampled.
        """
        params = [p for group in self.param_groups for p in group["params"]]
        signs = [self._signs(p) for p in params] if self.curvature == "hutchinson" else []
        found: list[Tensor] = []
        with torch.enable_grad():
            for part in (loss,) if isinstance(loss, Tensor) else loss:
                slopes = self._slopes(part, params, signs)
                found = [a + b for a, b in zip(found, slopes, strict=True)] if found else slopes
        if signs:
            estimate = torch._foreach_mul(signs, found)
        else:
            estimate = torch._foreach_mul(found, found)
            torch._foreach_mul_(estimate, float(count))
        curvature = [self._state(p)["h"] for p in params]
        torch._foreach_lerp_(curvature, list(estimate), 1 - self.beta2)

    def _slopes(self, loss: Tensor, params: list[Tensor], signs: list[Tensor]) -> list[Tensor]:
        """The gradient of a loss; with signs u the product H u with its Hessian."""
        grads = torch.autograd.grad(loss, params, create_graph=bool(signs), materialize_grads=True)
        if not signs:
            return list(grads)
        inner = torch.stack([(g * u).sum() for g, u in zip(grads, signs, strict=True)]).sum()
        return list(torch.autograd.grad(inner, params, materialize_grads=True))

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state with the number of steps taken."""
        return {**super().state_dict(), "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        rest = dict(state_dict)
        self.steps = rest.pop("steps")
        super().load_state_dict(rest)

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["m"] = torch.zeros_like(parameter)
            state["h"] = torch.zeros_like(parameter)
        return state

    def _signs(self, parameter: Tensor) -> Tensor:
        device = self.generator.device if self.generator else parameter.device
        bits = torch.randint(0, 2, parameter.shape, generator=self.generator, device=device)
        return (2 * bits - 1).to(parameter)

    def _accumulate(
        self, theta: list[Tensor], g: list[Tensor], m: list[Tensor], h: list[Tensor], lr: float, decay: float
    ) -> None:
        """Decay the weights and fold the gradients into m, and into h where it is the average of their squares."""
        if self.curvature == "empirical" and self.steps % self.curvature_every == 0:
            # torch's AdamW kernel with an infinite eps: decay and both averages in one pass, then a step of zero.
            ones = [torch.ones((), device=theta[0].device)] * len(theta)
            torch._fused_adamw_(
                theta, g, m, h, [], ones,
                lr=lr, beta1=self.beta1, beta2=self.beta2, weight_decay=decay, eps=math.inf,
                amsgrad=False, maximize=False,
            )  # fmt: skip
            return
        torch._foreach_lerp_(m, g, 1 - self.beta1)
        if decay:
            torch._foreach_mul_(theta, 1 - lr * decay)

    def _move(self, theta: list[Tensor], m: list[Tensor], h: list[Tensor], lr: float) -> None:
        """theta <- theta - lr clip(m / max(gamma h, eps), 1), with gamma drawn out of the fraction to save a pass."""
        floor, bound, alpha = self.eps / self.gamma, self.gamma, -lr / self.gamma
        if theta[0].device.type != "cpu":
            ratios = torch._foreach_div(m, torch._foreach_clamp_min(h, floor))
            torch._foreach_clamp_max_(ratios, bound)
            torch._foreach_clamp_min_(ratios, -bound)
            torch._foreach_add_(theta, ratios, alpha=alpha)
            return
        # On a CPU foreach is a loop as well, and fresh temporaries cost more in page faults than the arithmetic does.
        if self._scratch is None or self._scratch.dtype != theta[0].dtype or self._scratch.numel() < theta[0].numel():
            self._scratch = torch.empty(max(_BLOCK, theta[0].numel()), dtype=theta[0].dtype)
        for t, mean, square in zip(theta, m, h, strict=True):
            ratio = self._scratch[: t.numel()].view(t.shape)
            torch.clamp_min(square, floor, out=ratio)
            torch.div(mean, ratio, out=ratio)
            t.add_(ratio.clamp_(-bound, bound), alpha=alpha)


def _blocks(rows: Sequence[tuple[Tensor, ...]]) -> Iterator[tuple[list[Tensor], ...]]:
    """The columns of `rows` in groups of bounded size, so that temporaries are small and, on a CPU, stay in its cache.

    A tensor that is larger than a block is cut, where its memory is contiguous.
    """
    block: list[tuple[Tensor, ...]] = []
    size = 0
    for row in rows:
        bound = _BLOCK if row[0].device.type == "cpu" else _DEVICE_BLOCK
        cut = row[0].numel() > bound and all(t.is_contiguous() for t in row)
        for piece in zip(*(t.view(-1).split(bound) for t in row), strict=True) if cut else (row,):
            if block and (size + piece[0].numel() > bound or piece[0].device != block[0][0].device):
                yield _columns(block)
                block, size = [], 0
            block.append(piece)
            size += piece[0].numel()
    if block:
        yield _columns(block)


def _columns(rows: list[tuple[Tensor, ...]]) -> tuple[list[Tensor], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))


@optimizer("sophia")
@dataclass(frozen=True)
class SophiaOptimizer:
    """Sophia as SOUL uses it for GradDiff on TOFU, without its double momentum update.

    Claim: steps that are scaled by each weight's curvature, and clipped where it is small, forget with less harm.

    m <- beta1 m + (1 - beta1) g; h <- beta2 h + (1 - beta2) h_hat, with h_hat = g * g for the empirical curvature;
    theta <- theta (1 - lr weight_decay) - lr clip(m / max(gamma h, eps), 1).

    Defaults: those of SOUL's second-order TOFU configuration (arXiv:2404.18239): lr 5e-6, decay 0.1, betas 0.9 and
    0.95, gamma = rho * B = 0.04 * 5120 = 204.8, curvature from every step's own squared gradient. The other sources
    estimate curvatures of another scale, and gamma follows the source unless it is given (`GAMMA`). It does not follow
    the size of the model, whose gradients are the larger the fewer its parameters: a run that clips over 99% or under
    1% of the weights says so.

    Deviations: SOUL's code folds each gradient into the momentum twice; `compat=soul` does so too.

    Cost: 8 bytes of state a weight that may move, momentum and curvature. "empirical" runs no pass of its own; the
    other two add one, forward and backward ("hutchinson" twice backward), in every `curvature_every`-th step.
    """

    lr: float = param(5e-6, "learning rate and bound of every step", gt=0, search=(5e-7, 2e-4, "rate"))
    beta1: float = param(0.9, "decay of the gradient's moving average", ge=0, lt=1)
    beta2: float = param(0.95, "decay of the curvature's moving average", ge=0, lt=1)
    gamma: float | None = param(
        None, "scale of the curvature; by its source 204.8 (empirical), 0.04 (gauss-newton-bartlett), 0.01", gt=0
    )
    eps: float = param(1e-15, "smallest denominator", gt=0)
    weight_decay: float = param(0.1, "decoupled decay of matrices; norms and biases never decay", ge=0)
    curvature: str = param("empirical", "source of the curvature's diagonal", choices=CURVATURES)
    curvature_every: int = param(1, "steps from one curvature estimate to the next; Liu et al. take 10", ge=1)
    compat: str = param(
        "none", "'soul' folds each gradient into the momentum twice, as SOUL does", choices=("none", "soul")
    )

    def __post_init__(self) -> None:
        if self.gamma is None:
            object.__setattr__(self, "gamma", GAMMA[self.curvature])

    def build(self, params: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        return Sophia(
            decay_groups(params, self.weight_decay),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            gamma=self.gamma,
            eps=self.eps,
            curvature=self.curvature,
            curvature_every=self.curvature_every,
            double_momentum=self.compat == "soul",
        )
