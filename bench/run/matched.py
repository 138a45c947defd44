"""Utility at matched forgetting: the point between target and unlearned model that forgets as much as retrain has.

Methods stop at different places of one trade-off, and comparing where they end crowns whoever stopped earlier. The
models that `run --match utility` measures lie on the straight line theta(a) = (1 - a) target + a unlearned between the
weights of the two (Wortsman et al. 2022, arXiv:2109.01903), not on the way that training went: every method has such a
line, whatever made its model, and the point on it needs no checkpoint of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bench.api import Probes, Text
from bench.contracts import Progress
from bench.errors import BenchError
from bench.measure.one_pass import measure
from bench.model.models import LM
from bench.model.precision import Precision
from bench.score.scoring import item_table, score_items
from bench.store.record import Record

LEVEL = "probability"
"""The score by which forgetting is matched: the mean length-normalised probability of the forget answers."""
CLOSE = 0.001
"""How near to retrain's the search brings the forget probability."""
FAR = 0.005
"""At what distance from it a point is no match."""
HALVINGS = 30
"""After so many the way is cut as finely as weights can tell; then the nearest point is taken."""


class NotReached(BenchError):
    """No point on the way forgets as much as retrain: a result, not a crash."""


@dataclass(frozen=True)
class Matched:
    """The point, and every point that was tried on the way to it; the last is the one found.

    `tried` holds (share of the way, forget probability there).
    """

    lm: LM
    level: float
    tried: Sequence[tuple[float, float]]

    def curve(self) -> dict[str, list[float]]:
        """What a record keeps of the search, the last line being the point."""
        shares, found = zip(*self.tried, strict=True)
        return {
            "step": [float(n + 1) for n in range(len(self.tried))],
            "share of the way": list(shares),
            "forget probability": list(found),
            "retrain's forget probability": [self.level] * len(self.tried),
        }

    def words(self, method: str) -> str:
        """The note of the record."""
        share, found = self.tried[-1]
        return (
            f"{method} at matched forgetting: weights {share:.6g} of the straight way from the target to its model, "
            f"where the forget probability is {found:.4f}; retrain's is {self.level:.4f}"
        )


def level(retrain: Record | None) -> float:
    """The forget probability of the retrain model of the cell's seed.

    Raises:
        BenchError: it has none.
    """
    score = retrain.scores.get(LEVEL) if retrain else None
    if score is None or score.value is None:
        raise BenchError(f"the retrain cell has no score '{LEVEL}' to match. Run it again, or run without --match.")
    return score.value


def find(
    target: LM,
    unlearned: LM,
    texts: Sequence[Text],
    level: float,
    progress: Progress,
    precision: Precision = "float32",
) -> Matched:
    """The point at which the forget answers among `texts` are as likely as `level`; the weights of `target` are moved.

    Raises:
        NotReached: the unlearned model is above the level, or the target is not.
        BenchError: the two models have not the same weights, something is attached to the unlearned one, or an answer
            has no finite probability.
    """
    if unlearned.attached:
        names = ", ".join(each.name for each in unlearned.attached)
        raise BenchError(
            f"the method leaves the weights as they are and attaches {names}: no point lies between it and the target. "
            "Run without --match."
        )
    move = line(target, unlearned)
    answers = tuple(text for text in texts if text.set == "forget" and text.role == "answer" and text.index == 0)

    def probability(share: float) -> float:
        move(share)
        items = item_table(measure(target, Probes(answers, ()), precision=precision), [LEVEL])
        value = score_items(items, None, [LEVEL])[LEVEL].value
        if value is None:
            raise BenchError(f"no forget answer has a finite probability {share:g} of the way to the unlearned model.")
        return value

    tried = bisect(probability, level, progress)
    move(tried[-1][0])
    return Matched(target, level, tried)


def line(moved: LM, end: LM) -> Callable[[float], None]:
    """A function that puts `moved` at a share of the straight way from its weights to those of `end`, in place.

    Raises:
        BenchError: the two have not the same weights.
    """
    here, there = ({name: p.detach() for name, p in lm.model.named_parameters()} for lm in (moved, end))
    if {name: p.shape for name, p in here.items()} != {name: p.shape for name, p in there.items()}:
        raise BenchError(
            "the method's model has not the same weights as the target, so nothing lies between. Run without --match."
        )
    start = {name: p.clone() for name, p in here.items()}

    @torch.no_grad()
    def move(share: float) -> None:
        for name, weights in here.items():
            weights.copy_(torch.lerp(start[name], there[name].to(weights), share))

    return move


def bisect(value: Callable[[float], float], level: float, progress: Progress) -> list[tuple[float, float]]:
    """The shares of the way that were tried, and the value there; the last is the one at which it is the level.

    Where the value rises and falls on the way and crosses the level more than once, it is one of the crossings.

    Raises:
        NotReached: the value at 1 is above the level, or that at 0 is not, or it jumps over the level.
    """
    tried = [(share, value(share)) for share in (0.0, 1.0)]
    (below, before), (above, after) = tried
    if before <= level:
        raise NotReached(f"the target's forget probability is {before:.4f}, not above retrain's {level:.4f}")
    if after > level + CLOSE:
        raise NotReached(f"the forget probability ends at {after:.4f}, above retrain's {level:.4f}")
    while abs(tried[-1][1] - level) > CLOSE and len(tried) < HALVINGS:
        progress("matching", len(tried), HALVINGS)
        middle = (below + above) / 2
        tried.append((middle, value(middle)))
        below, above = (middle, above) if tried[-1][1] > level else (below, middle)
    nearest = min(reversed(tried), key=lambda point: abs(point[1] - level))
    if abs(nearest[1] - level) > FAR:
        raise NotReached(f"the forget probability jumps over retrain's {level:.4f}; the nearest is {nearest[1]:.4f}")
    return tried if nearest == tried[-1] else [*tried, nearest]
