"""Sophia: clipped, diagonally preconditioned steps. Liu et al. 2023, arXiv:2305.14342; as used for unlearning by SOUL
(Jia et al. 2024, arXiv:2404.18239) and SIMU (Agarwal et al. 2025, arXiv:2510.07822)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.api import optimizer, param
from methods._groups import decay_groups

CURVATURES = ("empirical", "gauss-newton-bartlett", "hutchinson")
_BLOCK = 1 << 16  # numbers in a CPU block: five float32 streams of it stay within a core's second-level cache


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
        gamma: scale of the curvature; SOUL's rho times batch size.
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
        gamma: float = 204.8,
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
        self.gamma, self.eps = gamma, eps
        self.curvature, self.curvature_every = curvature, curvature_every
        self.generator = generator
        self.steps = 0

    @property
    def curvature_due(self) -> bool:
        """Whether `update_curvature` is to be called before the next step."""
        return self.curvature != "empirical" and self.steps % self.curvature_every == 0

    @property
    def clipped(self) -> float:
        """Share of the weights whose last step was clipped to lr; NaN before the first step. Costs a pass over the state."""
        states = [state for state in self.state.values() if "m" in state]
        if not states:
            return float("nan")
        hit = [(state["m"].abs() >= (self.gamma * state["h"]).clamp_min(self.eps)).sum() for state in states]
        return float(torch.stack(hit).sum()) / sum(state["m"].numel() for state in states)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        refresh = self.curvature == "empirical" and self.steps % self.curvature_every == 0
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            states = [self._state(p) for p in params]
            tensors = [(p, p.grad, s["m"], s["h"]) for p, s in zip(params, states, strict=True)]
            for block in _blocks(tensors):
                self._update(*block, lr=float(group["lr"]), decay=group["weight_decay"], refresh=refresh)
        self.steps += 1
        return loss

    @torch.no_grad()
    def update_curvature(self, loss: Tensor, count: int = 1) -> None:
        """Fold one estimate of the curvature's diagonal into h.

        Args:
            loss: a scalar whose graph is alive: for "gauss-newton-bartlett" the mean cross-entropy over labels sampled
                from the model, for "hutchinson" the objective's loss.
            count: for "gauss-newton-bartlett" how many labels were sampled.
        """
        params = [p for group in self.param_groups for p in group["params"]]
        with torch.enable_grad():
            grads = torch.autograd.grad(loss, params, create_graph=self.curvature == "hutchinson", materialize_grads=True)
        if self.curvature == "hutchinson":
            signs = [self._signs(p) for p in params]
            with torch.enable_grad():
                inner = torch.stack([(g * u).sum() for g, u in zip(grads, signs, strict=True)]).sum()
                products = torch.autograd.grad(inner, params, materialize_grads=True)
            estimate = torch._foreach_mul(signs, list(products))
        else:
            estimate = torch._foreach_mul(list(grads), list(grads))
            torch._foreach_mul_(estimate, float(count))
        curvature = [self._state(p)["h"] for p in params]
        torch._foreach_lerp_(curvature, list(estimate), 1 - self.beta2)

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

    def _update(
        self, theta: list[Tensor], g: list[Tensor], m: list[Tensor], h: list[Tensor], lr: float, decay: float, refresh: bool
    ) -> None:
        torch._foreach_lerp_(m, g, 1 - self.beta1)
        if refresh:
            torch._foreach_mul_(h, self.beta2)
            torch._foreach_addcmul_(h, g, g, value=1 - self.beta2)
        scale = torch._foreach_mul(h, self.gamma)
        torch._foreach_clamp_min_(scale, self.eps)
        step = torch._foreach_div(m, scale)
        torch._foreach_clamp_max_(step, 1.0)
        torch._foreach_clamp_min_(step, -1.0)
        if decay:
            torch._foreach_mul_(theta, 1 - lr * decay)
        torch._foreach_add_(theta, step, alpha=-lr)


def _blocks(tensors: Sequence[tuple[Tensor, ...]]) -> Iterator[tuple[list[Tensor], ...]]:
    """Lists of (theta, g, m, h) to be updated at once: everything on an accelerator, a cache's worth on a CPU.

    On a CPU the chain of elementwise operations is bound by memory: run over a block that stays in the cache, it reads
    and writes main memory once, as a fused kernel does.
    """
    pieces: list[list[Tensor]] = []
    size = 0
    for row in tensors:
        cut = row[0].device.type == "cpu" and all(t.is_contiguous() for t in row)
        columns = [t.view(-1).split(_BLOCK) for t in row] if cut else [(t,) for t in row]
        for piece in zip(*columns, strict=True):
            numel = piece[0].numel()
            if pieces and size + numel > _BLOCK and piece[0].device.type == "cpu":
                yield tuple(map(list, zip(*pieces, strict=True)))
                pieces, size = [], 0
            pieces.append(list(piece))
            size += numel
    if pieces:
        yield tuple(map(list, zip(*pieces, strict=True)))


@optimizer("sophia")
@dataclass(frozen=True)
class SophiaOptimizer:
    """Sophia as SOUL uses it for GradDiff on TOFU, without its double momentum update.

    Defaults are those of SOUL's second-order TOFU configuration (arXiv:2404.18239): lr 5e-6, decay 0.1, betas 0.9 and
    0.95, gamma = rho * B = 0.04 * 5120 = 204.8, curvature from every step's own squared gradient. On a model of a few
    million parameters gradients are larger, and gamma must be rescaled or Sophia is sign descent (or stands still): watch
    the share of clipped weights.
    """

    lr: float = param(5e-6, "learning rate and bound of every step", gt=0)
    beta1: float = param(0.9, "decay of the gradient's moving average", ge=0, lt=1)
    beta2: float = param(0.95, "decay of the curvature's moving average", ge=0, lt=1)
    gamma: float = param(204.8, "scale of the curvature, SOUL's rho times batch size", gt=0)
    eps: float = param(1e-15, "smallest denominator", gt=0)
    weight_decay: float = param(0.1, "decoupled decay of matrices; norms and biases never decay", ge=0)
    curvature: str = param("empirical", "source of the curvature's diagonal", choices=CURVATURES)
    curvature_every: int = param(1, "steps from one curvature estimate to the next; Liu et al. take 10", ge=1)
    compat: str = param("none", "'soul' folds each gradient into the momentum twice, as its code does", choices=("none", "soul"))

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
