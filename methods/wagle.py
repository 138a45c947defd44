"""WAGLE: the weights that matter for forgetting and not for retaining. Jia et al. 2024, arXiv:2410.17509.

Score and settings as in the code that the paper released (OPTML-Group/WAGLE), gradients as means and not as sums, and
what is frozen frozen: the code masks gradients alone, so decay goes on moving what it calls frozen.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from torch import Tensor

from bench.api import Selection, method, param, scope
from bench.errors import BenchError
from methods._budget import Budget, largest, median
from methods._gradients import mean_gradient, spaced

if TYPE_CHECKING:
    from bench.contracts import Context


def attribution(weight: Tensor, forget: Tensor, retain: Tensor, mu: float) -> Tensor:
    """S = |(theta - g_r / mu) g_f|, elementwise.

    The first term is the forget loss's sensitivity to pruning the weight (SNIP), the second what re-optimising the
    retain loss, whose curvature is taken to be mu times the identity, takes back of it. As mu grows it is SNIP's
    |theta g_f|; as mu falls it ranks by |g_r g_f|. Only the size of a gradient's scale matters for the second: a
    retain loss c times as large is mu / c.

    Args:
        weight: theta, any shape. forget, retain: gradients of the mean losses, of that shape. mu: greater than 0.
    """
    return ((weight - retain / mu) * forget).abs()


def balanced(weights: Iterable[Tensor], retain: Iterable[Tensor]) -> float:
    """mu* = median|g_r| / median|theta| over all weights, at which a typical weight's two terms are equally large.

    Raises:
        BenchError: half of the gradients are 0, or half of the weights, so that nothing balances.
    """
    gradient, weight = median(g.abs() for g in retain), median(w.abs() for w in weights)
    if not gradient or not weight:
        raise BenchError("half of the weights, or of their retain gradients, are 0, so no mu balances. Give one: "
                         "--set METHOD.mu=NUMBER.")  # fmt: skip
    return gradient / weight


class Terms(NamedTuple):
    """mu, and the median over all weights of |theta g_f| and of |g_r g_f / mu|."""

    mu: float
    sensitivity: float
    correction: float


@scope("wagle")
@dataclass(frozen=True)
class Wagle(Budget):
    """WAGLE's weights: the largest |theta g_f - g_r g_f / mu| over all parameters, embeddings and norms included.

    Claim: a weight that matters for forgetting may move, less what moving it costs of what is retained.

    S = |theta g_f - g_r g_f / mu|, elementwise, and the share `ratio` of all weights with the largest S may move.

    Gradients are those of the mean cross-entropies of all forget items and of as many retain items at even distances,
    in float32, and mu is relative to them. A warning names the medians of both terms where one is 100 times the other.

    Defaults: ratio 0.95 is that of the released code's TOFU configurations; mu is where both terms are equally large.

    Deviations: the released code sums gradients over 400 items, a quarter of each, with mu = 1e-6: that is mu = 1e-8
    here, at which the second term decides alone (the ranking is that of |g_r g_f|).

    Cost: before the first step a pass, forward and backward, over the forget items and as many retain items; meanwhile
    16 bytes a weight in main memory, which is much for models of billions.
    """

    looks_at: ClassVar[tuple[str, ...]] = ("forget", "retain")

    mu: float | None = param(
        None, "curvature of the retain loss, relative to mean gradients; where both terms are equal", gt=0
    )

    def select(self, context: Context) -> Selection:
        """Raises: BenchError for a set without labels, and where no mu balances."""
        scores, terms = self.scores(context)
        larger, smaller = max(terms[1:]), min(terms[1:])
        if larger > 100 * smaller:
            which = "sensitivity" if terms.sensitivity == larger else "correction"
            warnings.warn(
                f"WAGLE at mu = {terms.mu:.3g} ranks by its {which} alone: the median of |theta g_f| is "
                f"{terms.sensitivity:.3g}, that of |g_r g_f / mu| {terms.correction:.3g}.",
                stacklevel=2,
            )
        return largest(scores, self.count(context))

    def scores(self, context: Context) -> tuple[dict[str, Tensor], Terms]:
        """The score of every weight, float32 by parameter name, and the sizes of what it is made of."""
        forget, retain = self._gradients(context)
        weights = {name: p.detach().float().cpu() for name, p in self.pool(context.lm.model).items()}
        mu = balanced(weights.values(), retain.values()) if self.mu is None else self.mu
        terms = Terms(
            mu,
            median((weights[name] * forget[name]).abs() for name in weights),
            median((retain[name] * forget[name] / mu).abs() for name in weights),
        )
        return {name: attribution(weights[name], forget[name], retain[name], mu) for name in weights}, terms

    def _gradients(self, context: Context) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        retain = spaced(context.retain, len(context.forget))
        return mean_gradient(context, context.forget), mean_gradient(context, retain)


method(
    "wagle-graddiff",
    "WAGLE, gradient difference (arXiv:2410.17509)",
    objective="graddiff",
    optimizer="adamw",
    scope="wagle",
    family="localisation",
)
method(
    "wagle-npo",
    "WAGLE, negative preference optimisation (arXiv:2410.17509)",
    objective="npo",
    optimizer="adamw",
    scope="wagle",
    family="localisation",
)
