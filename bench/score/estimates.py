"""Numbers that know what they would be without each cluster, and what is made of them: functions, means, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bench.stats.jackknife import Part, between_seeds, jackknife, number, satterthwaite

Array = np.ndarray
T = TypeVar("T")
_TOGETHER = 1024  # groups that are stacked at a time


class Estimate(NamedTuple):
    """A number, the same without each cluster of each stratum that it rests on [K], and these clusters' items [K].

    Several that rest on the same clusters can be one (`stack`): value [N], without [N, K], and everything below is of
    each of them.
    """

    value: Any
    without: Mapping[str, Array]
    sizes: Mapping[str, Array]

    def pieces(self) -> tuple[list[Array], list[Array]]:
        """Values without each cluster and sizes, by stratum, of the clusters that have items."""
        kept = {name: self.sizes[name] > 0 for name in self.without}
        return [self.without[n][..., k] for n, k in kept.items()], [self.sizes[n][k] for n, k in kept.items()]

    def cluster_part(self) -> Part:
        """Variance between clusters, all strata together."""
        return satterthwaite([jackknife(*piece) for piece in zip(*self.pieces(), strict=True)])

    @property
    def counts(self) -> list[int]:
        """Clusters of each stratum."""
        return [int((n > 0).sum()) for n in self.sizes.values()]

    @property
    def fewest(self) -> int:
        """Clusters of the smallest stratum."""
        return min(self.counts, default=0)

    @property
    def rests_on(self) -> tuple[tuple[str, bytes], ...]:
        """Its clusters, as what can be held against another's."""
        return tuple((name, sizes.tobytes()) for name, sizes in self.sizes.items())


def stack(estimates: Sequence[Estimate]) -> Estimate:
    """Estimates that rest on the same clusters as one."""
    first = estimates[0]
    without = {name: np.concatenate([e.without[name] for e in estimates]).reshape(len(estimates), -1)
               for name in first.without}  # fmt: skip
    return Estimate(np.array([e.value for e in estimates]), without, first.sizes)


def alike(groups: Mapping[T, Sequence[Estimate]]) -> Iterator[tuple[list[T], list[Estimate]]]:
    """Groups of estimates in which each rests on the same clusters as that at its place in the others: whose they are,
    and one stacked estimate for each place."""
    found: dict[tuple[object, ...], list[T]] = {}
    every = {id(each): each for of in groups.values() for each in of}
    known = {key: each.rests_on for key, each in every.items()}
    for key, estimates in groups.items():
        found.setdefault(tuple(known[id(each)] for each in estimates), []).append(key)
    for keys in found.values():
        for start in range(0, len(keys), _TOGETHER):
            some = keys[start : start + _TOGETHER]
            yield some, [stack(of) for of in zip(*(groups[key] for key in some), strict=True)]


def combine(function: Callable[..., Array], *estimates: Estimate) -> Estimate:
    """A function of estimates, computed jointly: all lose the same cluster. `function` maps arrays [...] to [...]."""
    strata = list(dict.fromkeys(name for estimate in estimates for name in estimate.without))

    def of(name: str) -> Array:
        parts = [e.without.get(name) for e in estimates]
        length = next(part.shape[-1] for part in parts if part is not None)
        full = [np.repeat(np.asarray(e.value)[..., None], length, axis=-1) if part is None else part
                for e, part in zip(estimates, parts, strict=True)]  # fmt: skip
        return np.asarray(function(*full), dtype=float)

    sizes = {name: np.max([e.sizes[name] for e in estimates if name in e.sizes], axis=0) for name in strata}
    value = number(np.asarray(function(*(np.asarray(e.value, dtype=float) for e in estimates)), dtype=float))
    return Estimate(value, {name: of(name) for name in strata}, sizes)


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean over seeds."""
    return combine(lambda *values: np.mean(values, axis=0), *estimates)


def error_parts(by_seed: Sequence[Estimate]) -> list[Part]:
    """The parts of the error of a mean over seeds: between clusters, and of several seeds between these."""
    part = mean(by_seed).cluster_part()
    return [part, between_seeds(values_of(by_seed))] if len(by_seed) > 1 else [part]


def values_of(by_seed: Sequence[Estimate]) -> Array:
    """One value a seed, [..., S]."""
    return np.stack([e.value for e in by_seed], axis=-1)


def joined_parts(by_seed: Sequence[Estimate]) -> list[Part]:
    """The same as one part, by Satterthwaite, from three seeds on, as in `share_interval`."""
    parts = error_parts(by_seed)
    return [satterthwaite(parts)] if len(by_seed) > 2 else parts
