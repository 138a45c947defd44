"""What the intervals and tests hold, on planted truth: the tables of `docs/statistics.md`.

    python docs/simulate.py [mean|others|headline|seeds|error|unequal|power|variances ...]

Everything goes through the functions that the board calls, but `error`, `unequal` and `power`, whose many tables are
tested by `found`, the same rule for all pairs at once; `tests/statistics` holds the two against each other. About ten
minutes for all parts on one core.
"""

import sys
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri, stdtrit

from bench.compare import headline
from bench.compare.comparing import Comparison, compare, corrected
from bench.compare.headline import Shares
from bench.keys import stream
from bench.score.estimates import Estimate, combine
from bench.score.leave_out import Strata, estimate, gaps
from bench.score.limits import distance_limits, limits
from bench.score.scoring import build
from bench.stats.intervals import Interval

Array = np.ndarray
ROUGE, AUC, UTILITY, QUALITY = map(build, ("rouge", "mia_auc", "model_utility", "forget_quality"))
ITEMS = {"near 0.5": (2, 2), "skewed, near 0.03": (0.3, 9.7), "nearly binary, near 0.03": (0.06, 1.94)}
ICC, CLUSTERS, TAUS, SEEDS = (0.0, 0.2, 0.5), (5, 10, 20, 40), (0, 1, 1.5, 2, 3, 10), (2, 3, 5)
METHODS, METRICS, ALPHA = 8, 4, 0.05
FAMILY = METRICS * METHODS * (METHODS - 1) // 2
UNEQUAL = {
    "one method 5 times": [5, *[1] * 7],
    "0.2 to 5 times": np.geomspace(0.2, 5, 8).tolist(),
    "two near 0, two wild": [0.05, 0.05, 0.2, 1, 1, 1, 3, 5],
}

# -- intervals -------------------------------------------------------------------------------------------------------


def sizes_of(clusters: int, unequal: bool) -> Array:
    """Items of each cluster: 6, or 2 to 20."""
    return np.random.default_rng(clusters).integers(2, 21, clusters) if unequal else np.full(clusters, 6)


def normals(rng: np.random.Generator, sizes: Array, icc: float, columns: int = 1, shared: float = 0.6) -> Array:
    """Items of clusters with that intra-class correlation, and correlated between columns, [columns, n]."""
    of = np.repeat(np.arange(len(sizes)), sizes)

    def mixed(n: int) -> Array:
        own = rng.standard_normal((columns, n))
        return own if columns == 1 else np.sqrt(shared) * rng.standard_normal(n) + np.sqrt(1 - shared) * own

    return np.sqrt(icc) * mixed(len(sizes))[:, of] + np.sqrt(1 - icc) * mixed(len(of))


def mean_of(values: Array, sizes: Array) -> Estimate:
    """The mean of items in the order of their clusters."""
    total = np.add.reduceat(values, np.concatenate([[0], np.cumsum(sizes)[:-1]]))
    return Estimate(
        float(values.mean()), {"f": (values.sum() - total) / (len(values) - sizes)}, {"f": sizes.astype(float)}
    )


def covered(intervals: Sequence[Interval | None], truth: float) -> float:
    """Share that holds the truth; NaN where none is given."""
    held = [lo <= truth <= hi for interval in intervals if interval is not None for lo, hi in [interval]]
    return float(np.mean(held)) if held else float("nan")


def of_mean(items: tuple[float, float], clusters: int, icc: float, unequal: bool, n: int, *name: object) -> float:
    """Coverage of the mean of Beta-distributed items."""
    rng, sizes, law = (
        stream("mean", items, clusters, icc, unequal, *name),
        sizes_of(clusters, unequal),
        stats.beta(*items),
    )
    grid = np.linspace(0, 1, 4001)
    quantiles = law.ppf(np.clip(grid, 1e-9, 1 - 1e-9))
    found = [
        limits(ROUGE, [mean_of(np.interp(ndtr(normals(rng, sizes, icc)[0]), grid, quantiles), sizes)]) for _ in range(n)
    ]
    return covered(found, float(law.mean()))


def of_auc(truth: float, clusters: int, icc: float, n: int) -> float:
    """Coverage of an AUC; members and others have as many clusters each."""
    rng, sizes = stream("auc", truth, clusters, icc), sizes_of(clusters, False)
    labels = {s: [f"{s}{k}" for k in np.repeat(np.arange(clusters), sizes)] for s in ("forget", "holdout")}
    strata = Strata.build(labels)
    found = []
    for _ in range(n):
        member, other = (normals(rng, sizes, icc)[0] for _ in range(2))
        sample = dict(zip(AUC.needs, (member - np.sqrt(2) * ndtri(truth), other), strict=True))
        found.append(limits(AUC, [estimate(AUC, sample, None, strata)]))
    return covered(found, truth)


def of_utility(clusters: int, icc: float, n: int) -> float:
    """Coverage of a harmonic mean of nine parts near 0.5, three on each of three sets, one with unequal clusters."""
    rng = stream("utility", clusters, icc)
    sets = list(dict.fromkeys(s for s, _ in UTILITY.needs))
    sizes = dict(
        zip(sets, (sizes_of(clusters, False), sizes_of(clusters, True), np.ones(2 * clusters, int)), strict=True)
    )
    strata = Strata.build({s: [f"{s}{k}" for k in np.repeat(np.arange(len(of)), of)] for s, of in sizes.items()})
    undo = {"loss": lambda p: -np.log(p), "log_truth_ratio": lambda p: np.log1p(-p)}
    found = []
    for _ in range(n):
        sample = {}
        for name in sets:
            columns = [c for s, c in UTILITY.needs if s == name]
            shares = np.clip(stats.beta.ppf(ndtr(normals(rng, sizes[name], icc, len(columns))), 2, 2), 1e-6, 1 - 1e-6)
            sample |= {(name, c): undo.get(c, lambda p: p)(x) for c, x in zip(columns, shares, strict=True)}
        found.append(limits(UTILITY, [estimate(UTILITY, sample, None, strata)]))
    return covered(found, 0.5)


def of_distance(shift: float, clusters: int, icc: float, n: int, seeds: int = 1, spread: float = 0.0) -> float:
    """Coverage of a KS distance between two correlated columns, one of them shifted, in each seed by another amount."""
    rng, sizes = stream("ks", shift, clusters, icc, seeds, spread), sizes_of(clusters, False)
    strata = Strata.build({"forget": [str(k) for k in np.repeat(np.arange(clusters), sizes)]})
    (need,) = QUALITY.needs
    truth = float(np.mean(2 * ndtr(np.abs(np.random.default_rng(0).normal(shift, spread, 100_000)) / 2) - 1))
    found = []
    for _ in range(n):
        x, y = normals(rng, sizes, icc, 2)
        pairs = [({need: x}, {need: y + rng.normal(shift, spread)}) for _ in range(seeds)]
        runs = [estimate(QUALITY, own, other, strata, distance=True) for own, other in pairs]
        found.append(distance_limits(runs, [gaps(QUALITY, own, other, strata) for own, other in pairs]))
    return covered(found, truth)


def of_seeds(seeds: int, tau: float, clusters: int, n: int) -> float:
    """Coverage of a mean over seeds whose spread is tau times the items' standard error."""
    rng, sizes, found = stream("seeds", seeds, tau, clusters), sizes_of(clusters, False), []
    error = np.std([stats.beta.ppf(ndtr(normals(rng, sizes, 0.2)[0]), 2, 2).mean() for _ in range(300)])
    for _ in range(n):
        base = mean_of(stats.beta.ppf(ndtr(normals(rng, sizes, 0.2)[0]), 2, 2), sizes)
        found.append(limits(ROUGE, [combine(lambda x, u=u: x + u, base) for u in rng.normal(0, tau * error, seeds)]))
    return covered(found, 0.5)


def of_headline(ways: Sequence[float], kept: float, clusters: int, n: int) -> tuple[float, float]:
    """Coverage of erased and of the headline of one run, three metrics from 0.95 (target) to 0.4 (retrain)."""
    rng, sizes, retained = stream("headline", *ways, kept, clusters), sizes_of(clusters, False), sizes_of(17, False)
    found: list[dict] = []

    def shares_of(means: Sequence[float], of: Array, stratum: str, shared: float) -> list[Estimate]:
        levels = ndtr(normals(rng, of, 0.2, len(means), shared))
        items = [mean_of(stats.beta.ppf(u, max(4 * m, 0.02), max(4 - 4 * m, 0.02)), of) for u, m in zip(levels, means)]
        return [Estimate(e.value, {stratum: e.without["f"]}, {stratum: e.sizes["f"]}) for e in items]

    for _ in range(n):
        means = [m for way in ways for m in (0.95, 0.95 - 0.55 * way, 0.4)]
        memory, utility = shares_of(means, sizes, "forget", 0.6), shares_of([0.8 * kept, 0.8], retained, "retain", 0.8)
        made = [combine(lambda t, x, r: (t - x) / (t - r), *memory[3 * i : 3 * i + 3]) for i in range(len(ways))]
        found.append(headline.scores([Shares(tuple(made), combine(np.divide, *utility))]))
    inside = np.clip(ways, 0, 1)
    erased = len(ways) / np.sum(1 / inside) if (inside > 0).all() else 0.0
    both = [erased, 2 / (1 / erased + 1 / min(1, kept)) if erased > 0 else 0.0]
    return tuple(covered([(f[name].lo, f[name].hi) for f in found], truth)  # type: ignore[return-value]
                 for name, truth in zip((headline.ERASED, headline.HEADLINE), both, strict=True))  # fmt: skip


# -- tests -----------------------------------------------------------------------------------------------------------


def tables(
    rng: np.random.Generator, count: int, seeds: int, tau: float, clusters: int = 20,
    spread: Sequence[float] | None = None, shift: float = 0.0, skewed: bool = False,
) -> Array:  # fmt: skip
    """Cluster means [count, metric, method, seed, cluster] of methods that are alike, but for a `shift` of the first.

    tau is the spread of a difference between seeds over its standard error over items, which is 1. Each method has its
    own effect on a cluster, the same in all seeds but for a little; a seed moves all methods together, and each alone.
    With `skewed` these effects are exponential, and the first method is a constant control.
    """
    shape = (count, METRICS, METHODS)
    own = rng.exponential(size=(*shape, 1, clusters)) - 1 if skewed else rng.standard_normal((*shape, 1, clusters))
    error = np.sqrt(2 / clusters * (1 + 0.09 / seeds))
    ratio = (
        np.ones(METHODS) if spread is None else np.asarray(spread, dtype=float) / np.sqrt(np.mean(np.square(spread)))
    )
    of_seed = rng.standard_normal((*shape, seeds)) * tau * error / np.sqrt(2) * ratio[:, None]
    of_all = rng.standard_normal((count, METRICS, 1, seeds)) * tau * error
    noise = 0.3 * rng.standard_normal((*shape, seeds, clusters))
    if skewed:
        own[:, :, 0], noise[:, :, 0], of_seed[:, :, 0] = 0.0, 0.0, 0.0
    y = own + noise + (of_seed + of_all)[..., None]
    y[:, :, 0] += shift * error
    return np.asarray(y)


def compared(table: Array) -> list[Comparison]:
    """All pairs of one table [metric, method, seed, cluster] through the board's own functions: the first metric as the
    verdict's family, the others as the second."""
    clusters = table.shape[-1]
    runs = [
        [{s: mean_of(run, np.ones(clusters, int)) for s, run in enumerate(of)} for of in metric] for metric in table
    ]
    pairs = list(combinations(range(table.shape[1]), 2))
    made = [[compare(str(q), str(a), str(b), of[a], of[b], 0.05) for a, b in pairs] for q, of in enumerate(runs)]
    return corrected([made[0], [c for of in made[1:] for c in of]])  # type: ignore[list-item]


def found(y: Array, alpha: float) -> Array:
    """The same rule for many tables: whether |difference| exceeds its reach at alpha, [table, metric, pair]."""
    a, b = np.triu_indices(y.shape[2], 1)
    seeds, clusters = y.shape[-2:]
    by_cluster, by_seed = y.mean(-2), y.mean(-1)
    of_clusters, of_seeds = by_cluster[:, :, a] - by_cluster[:, :, b], by_seed[:, :, a] - by_seed[:, :, b]
    t = [stdtrit(df, 1 - alpha / 2) ** 2 for df in (clusters - 1.0, seeds - 1.0)]
    far = t[0] * of_clusters.var(-1, ddof=1) / clusters + t[1] * of_seeds.var(-1, ddof=1) / seeds
    return np.asarray(of_seeds.mean(-1) ** 2 > far)


def error(seeds: int, tau: float, count: int, **how: object) -> tuple[float, float]:
    """Share of tables with any false "significant", and of single comparisons with p below 0.05, in tables without a
    difference. The first step of Holm's correction over one family of 112 decides the first."""
    rng, any_, single = stream("error", seeds, tau, *how.items()), [], []
    for start in range(0, count, 250):
        y = tables(rng, min(250, count - start), seeds, tau, **how)  # type: ignore[arg-type]
        any_.append(found(y, ALPHA / FAMILY).any((1, 2)))
        single.append(found(y, ALPHA).mean((1, 2)))
    return float(np.concatenate(any_).mean()), float(np.concatenate(single).mean())


def power(seeds: int, tau: float, shift: float, count: int) -> list[float]:
    """Share of true differences found in a family of 112, in the verdict's of 60 beside another, and alone."""
    y = tables(stream("power", seeds, tau, shift), count, seeds, tau, shift=shift)
    first = np.triu_indices(METHODS, 1)[0] == 0
    return [float(found(y, alpha)[..., first].mean()) for alpha in (ALPHA / FAMILY, ALPHA / 120, ALPHA)]


# -- tables ----------------------------------------------------------------------------------------------------------


def show(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table of the page."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def slashed(values: Sequence[float]) -> str:
    """0.95 and 1 as .950/1."""
    return "/".join("1" if v > 0.9995 else "none" if np.isnan(v) else f"{v:.3f}"[1:] for v in values)


def part_mean(n: int = 1000) -> None:
    """Means of items in [0, 1], icc 0/0.2/0.5."""
    rows = [(name, k, *(slashed([of_mean(law, k, icc, unequal, n) for icc in ICC]) for unequal in (False, True)))
            for name, law in ITEMS.items() for k in (2, 3, *CLUSTERS)]  # fmt: skip
    show(("items", "clusters", "of 6 items", "of 2-20 items"), rows)


def part_others(n: int = 400) -> None:
    """AUC, utility and KS distance, icc 0/0.2/0.5."""
    made: list[tuple[str, Callable[[int, float], float]]] = [
        *((f"AUC {truth}", lambda k, icc, truth=truth: of_auc(truth, k, icc, n)) for truth in (0.75, 0.95)),
        ("model utility", lambda k, icc: of_utility(k, icc, n)),
        *(
            (f"KS distance {2 * ndtr(s / 2) - 1:.2f}", lambda k, icc, s=s: of_distance(s, k, icc, n // 2))
            for s in (0, 0.3, 1)
        ),
    ]
    show(
        ("metric", *map(str, CLUSTERS)),
        [(name, *(slashed([of(k, icc) for icc in ICC]) for k in CLUSTERS)) for name, of in made],
    )


def part_headline(n: int = 500) -> None:
    """Erased / headline, by true shares and utility kept."""
    cases = [((0.5, 0.5, 0.5), 0.9), ((0.2, 0.5, 1.2), 0.9), ((0.9, 1.02, 1.2), 0.95), ((1.25, 1.25, 1.25), 0.9),
             ((0.0, 0.0, 0.0), 0.9), ((1.0, 1.0, 1.0), 0.9), ((1.0, 1.0, 1.0), 1.0)]  # fmt: skip
    found = {case: [slashed(of_headline(*case, k, n)) for k in CLUSTERS[:3]] for case in cases}
    show(("true shares", "kept", *map(str, CLUSTERS[:3])), [(*case, *cells) for case, cells in found.items()])


def part_seeds(n: int = 600) -> None:
    """A mean over seeds, tau 0/0.5/1/2/3."""
    held = {s: [slashed([of_seeds(s, tau, k, n) for tau in (0, 0.5, 1, 2, 3)]) for k in (5, 20)] for s in SEEDS}
    show(("seeds", "5 clusters", "20 clusters"), [(s, *cells) for s, cells in held.items()])


def part_error(count: int = 2000) -> None:
    """Family-wise error / single comparisons."""
    show(
        ("seeds", *(f"tau {tau}" for tau in TAUS)),
        [(s, *(slashed(error(s, tau, count)) for tau in TAUS)) for s in SEEDS],
    )


def part_unequal(count: int = 1000) -> None:
    """Unequal seed variances (family-wise error at tau 1/3/10), and skewed clusters (tau 0/1/3)."""

    def row(name: str, taus: Sequence[float], **how: object) -> tuple[str, ...]:
        return name, *(slashed([error(s, tau, count, **how)[0] for tau in taus]) for s in SEEDS)

    rows = [row(name, (1, 3, 10), spread=spread) for name, spread in UNEQUAL.items()]
    for k in (10, 20):
        rows.append(row(f"{k} exponential clusters, one method a constant", (0, 1, 3), skewed=True, clusters=k))
    show(("case", *(f"{s} seeds" for s in SEEDS)), rows)


def part_power(count: int = 400) -> None:
    """Share of true differences found, family of 112 / verdict of 60 / alone."""
    seeds, cases = (2, 3, 5, 10), [(shift, tau) for shift in (5, 10, 20) for tau in (0, 1, 3)]
    rows = [(shift, tau, *(slashed(power(s, tau, shift, count)) for s in seeds)) for shift, tau in cases]
    show(("difference", "tau", *(f"{s} seeds" for s in seeds)), rows)


def part_variances(results: str = "results") -> None:
    """Spread between seeds of the committed methods, metric by metric: Bartlett's test that all are equal."""
    from bench.store import files
    from bench.store.record import CONTROLS

    by: dict[tuple[str, str], dict[str, list[float]]] = {}
    for cell, record in files.records(Path(results), print).items():
        if cell.data == "embedded" and cell.method not in CONTROLS and "@" not in cell.method:
            for name in (
                "model_utility",
                "truth_preference",
                "task_aggregate",
                "mia_auc",
                "lume_model_utility",
                "lume_mia_auc",
            ):
                if name in record.scores and record.scores[name].value is not None:
                    by.setdefault((cell.task, name), {}).setdefault(cell.method, []).append(record.scores[name].value)
    rows = []
    for (task, name), methods in sorted(by.items()):
        known = {m: v for m, v in methods.items() if len(v) > 2 and np.std(v) > 0}
        if len(known) > 2:
            spread = {m: float(np.std(v, ddof=1)) for m, v in known.items()}
            ends = [
                f"{spread[m]:.4f} {m}"
                for m in (min(spread, key=spread.__getitem__), max(spread, key=spread.__getitem__))
            ]
            rows.append((task, name, *ends, f"{stats.bartlett(*known.values()).pvalue:.1g}"))
    show(("task", "metric", "smallest", "largest", "Bartlett's p"), rows)


PARTS = {name[5:]: part for name, part in list(globals().items()) if name.startswith("part_")}

if __name__ == "__main__":
    if unknown := [word for word in sys.argv[1:] if word not in PARTS]:
        sys.exit(f"no part {', '.join(unknown)}. {__doc__}")
    for asked in sys.argv[1:] or PARTS:
        print(f"\n## {asked}: {PARTS[asked].__doc__}")
        PARTS[asked]()
