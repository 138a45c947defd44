"""How many seeds and items it takes to see a difference in model utility: a simulation from measured items.

    python docs/power.py [RESULTS] [DATA] [MODEL] [METHOD METHOD]

Two methods that were run on every split are taken apart into runs, clusters and items, and put together again as
experiments of other sizes in which the second one's utility is worse by exactly 0.02. Counted is how often the board
would say so. `docs/statistics.md` shows the result.
"""

import sys
from pathlib import Path

import numpy as np

from bench.compare import crossed
from bench.compare.comparing import compare_all
from bench.compare.crossed import Crossed, Run
from bench.keys import stream
from bench.score.scoring import find
from bench.store import files

UTILITY = find("model_utility")
DIFFERENCE, ALPHA, FAMILY, EXPERIMENTS = 0.02, 0.05, 112, 100
SEEDS, ITEMS = (1, 3, 5, 10), (0.5, 1, 2, 4)


def experiment(measured: Crossed, pair: tuple[str, str], seeds: int, share: float, rng: np.random.Generator) -> Crossed:
    """An experiment of that many seeds and that share of the clusters, its items drawn from those that were measured.

    Model utility is a harmonic mean of means: a factor on all items is a factor on utility. The second method's gives
    the difference, and each run's what is lacking of the spread between seeds: of S measured ones that are drawn with
    replacement the variance is (S - 1) / S of theirs.
    """
    drawn: dict[str, np.ndarray] = {}
    ids, clusters = {}, {}
    for name in sorted({name for name, _ in UTILITY.needs}):
        of = np.unique(measured.clusters[name], return_inverse=True)[1]
        picked = rng.integers(of.max() + 1, size=max(2, round(share * (of.max() + 1))))
        places = [np.flatnonzero(of == cluster) for cluster in picked]
        drawn[name] = np.concatenate(places)
        clusters[name] = [f"{name}{i}" for i, items in enumerate(places) for _ in items]
        ids[name] = [str(i) for i in range(len(drawn[name]))]
    utility = {m: [measured.observed(UTILITY, Run(m, s)) for s in measured.seeds(m)] for m in pair}
    wanted = {pair[0]: np.mean(utility[pair[0]]), pair[1]: np.mean(utility[pair[0]]) - DIFFERENCE}
    values = {}
    for method in pair:
        known = measured.seeds(method)
        lacking = np.std(utility[method]) / np.sqrt(len(known) - 1) if len(known) > 1 else 0.0
        for seed in range(seeds):
            run = measured.values[Run(method, known[rng.integers(len(known))])]
            factor = (wanted[method] + rng.normal(0, lacking)) / np.mean(utility[method])
            values[Run(method, seed)] = {
                need: scaled(need[1], run[need][drawn[need[0]]], factor) for need in UTILITY.needs
            }
    return Crossed(ids, clusters, values, resamples=400)


def scaled(column: str, values: np.ndarray, factor: float) -> np.ndarray:
    """Values of a column of which what utility averages is `factor` times as large."""
    if column == "loss":
        return values - np.log(factor)
    if column == "log_truth_ratio":
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(0, 1 - factor * np.maximum(0, 1 - np.exp(values))))
    return values * factor


def power(measured: Crossed, pair: tuple[str, str], seeds: int, share: float, split: str) -> tuple[float, float]:
    """How often the difference is found, the right way round, when it alone is tested and as one of 112 comparisons."""
    rng = stream("power", split, seeds, share)
    alone = among = 0
    for _ in range(EXPERIMENTS):
        made = experiment(measured, pair, seeds, share, rng)
        (found,) = compare_all(made, {"model_utility": UTILITY}, [pair], 0.05, ALPHA)
        right = found.difference > 0
        alone += right and found.significant(ALPHA)
        among += right and found._replace(p_holm=min(1.0, found.p * FAMILY)).significant(ALPHA)
    return alone / EXPERIMENTS, among / EXPERIMENTS


def main(results: str = "results", data: str = "embedded", model: str = "tiny", *pair: str) -> None:
    """Print a table a split: seeds down, items across."""
    pair = pair or ("simu-graddiff", "so-graddiff")
    cells = [c for c in files.records(Path(results), print) if (c.data, c.model) == (data, model) and c.method in pair]
    for split in ("tofu:forget01", "tofu:forget05", "tofu:forget10"):
        of_split = [c for c in cells if c.task == split]
        if len({c.method for c in of_split}) < 2:
            continue
        measured = crossed.load(Path(results), of_split).crossed
        items = {
            share: round(share * sum(len(measured.ids[n]) for n in {n for n, _ in UTILITY.needs})) for share in ITEMS
        }
        print(f"\n{split}: {pair[0]} against {pair[1]}, {len(measured.seeds(pair[0]))} measured seeds\n")
        print("| seeds | " + " | ".join(f"{n} items" for n in items.values()) + " |\n|---" + "|---" * len(items) + "|")
        for seeds in SEEDS:
            found = [power(measured, pair, seeds, share, split) for share in ITEMS]
            print(f"| {seeds} | " + " | ".join(f"{a:.2f} / {b:.2f}" for a, b in found) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
