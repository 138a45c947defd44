"""Which scalar orders 150 published models as their white-box depth and utility do: other people's results.

    python docs/published_1b.py MODELS.csv

The file holds one row a model, as its authors measured it (arXiv:2605.24614); nothing is measured here. Erased and kept
are formed from its columns as the board forms them, with its rows `full` and `retain` as target and retrain. A scalar
is good if it agrees with what it has not seen: the depth at which the knowledge is gone.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

Array = np.ndarray
Reduce = Callable[[Array], Array]

MEMORY = {"ES": "one_minus_es", "EM": "one_minus_em", "PP": "one_minus_paraprob", "TR": "one_minus_truth"}
PRIVACY = ("s_loss", "s_zlib", "s_mink", "s_minkpp")
RESAMPLES = 1000
HIDDEN = 0.1  # patching depth below which the knowledge is still where it was


class Candidate(NamedTuple):
    """A scalar: its name, its part that speaks of forgetting alone, and the whole; [M], target and retrain first."""

    name: str
    erased: Array
    whole: Array


def harmonic(parts: Array) -> Array:
    """Harmonic mean over the first axis, [k, M] to [M]; 0 where a part is 0 or less."""
    with np.errstate(divide="ignore"):
        return len(parts) / np.sum(1 / np.maximum(parts, 0.0), axis=0)


def mean(parts: Array) -> Array:
    """Arithmetic mean over the first axis."""
    return np.mean(parts, axis=0)


def clipped(x: Array) -> Array:
    """The way from target (first) to retrain (second) within [0, 1]: nothing for going beyond retrain."""
    return np.clip((x - x[0]) / (x[1] - x[0]), 0, 1)


def symmetric(x: Array) -> Array:
    """1 - |x - retrain| / |target - retrain|, at least 0: beyond retrain counts as much as short of it."""
    return np.maximum(0, 1 - np.abs(x - x[1]) / abs(x[0] - x[1]))


def relative(x: Array) -> Array:
    """1 - m / m_target of the metric m = 1 - x: 0 untouched, 1 nothing left, wherever retrain is."""
    return np.clip(1 - (1 - x) / (1 - x[0]), 0, 1)


def read(path: str) -> pd.DataFrame:
    """The models, target and retrain first."""
    models = pd.read_csv(path)
    first = [models[models.method == name] for name in ("full", "retain")]
    return pd.concat([*first, models[~models.method.isin(("full", "retain"))]], ignore_index=True)


def candidates(models: pd.DataFrame) -> list[Candidate]:
    """All scalars that are compared, by what erased is made of and how; the board's first."""
    column = {name: models[key].to_numpy(float) for name, key in MEMORY.items()}
    utility = models.model_utility.to_numpy(float)
    kept = np.minimum(1, utility / utility[0])
    fluent = harmonic(np.stack([utility, models.fluency.to_numpy(float)]))

    def made(name: str, parts: Sequence[str], form: Reduce, reduce: Reduce = mean, other: Array = kept) -> Candidate:
        erased = reduce(np.stack([form(column[part]) for part in parts]))
        return Candidate(name, erased, harmonic(np.stack([erased, other])))

    pair, three, four = ("ES", "TR"), ("ES", "EM", "TR"), tuple(MEMORY)
    theirs = made("theirs: HM(Mem, utility), Mem unscaled", four, np.asarray, harmonic)
    memory, privacy = theirs.erased, harmonic(np.stack([models[key].to_numpy(float) for key in PRIVACY]))
    return [
        made("clipped, ES, EM and TR, harmonic mean (the board's)", three, clipped, harmonic),
        made("clipped, ES, EM and TR, smallest", three, clipped, lambda parts: np.min(parts, axis=0)),
        made("clipped, ES, EM and TR, mean", three, clipped),
        made("clipped, ES and TR, mean", pair, clipped),
        made("clipped, ES and TR, harmonic mean", pair, clipped, harmonic),
        made("clipped, all four, mean", four, clipped),
        *(made(f"clipped, {name} alone", (name,), clipped) for name in MEMORY),
        made("symmetric, ES and TR, mean", pair, symmetric),
        made("symmetric, all four, mean", four, symmetric),
        theirs,
        made("theirs: HM(Mem, utility), Mem by target", four, relative, harmonic),
        made("theirs: HM(Mem, HM(utility, fluency))", four, np.asarray, harmonic, fluent / fluent[0]),
        Candidate("theirs: HM(Mem, privacy, utility)", memory, harmonic(np.stack([memory, privacy, kept]))),
        Candidate("kept alone", np.zeros_like(kept), kept),
    ]  # fmt: skip


def spearman(x: Array, y: Array) -> float:
    """Rank correlation; NaN where one side does not vary."""
    a, b = rankdata(x), rankdata(y)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else float("nan")


def truth(models: pd.DataFrame, depth: str = "uds") -> Array:
    """HM(depth, kept) of the unlearned models, what a scalar is held against."""
    kept = np.minimum(1, models.model_utility / models.model_utility[0])
    return harmonic(np.stack([models[depth], kept]))[2:]


def resamples(models: pd.DataFrame) -> list[Array]:
    """Rows of drawn cells, with replacement: models of one method and learning rate are near copies of each other."""
    unlearned, rng = models.iloc[2:], np.random.default_rng(0)
    of = np.unique((unlearned.method + unlearned.lr.astype(str)).to_numpy(), return_inverse=True)[1]
    rows = [np.flatnonzero(of == cell) for cell in range(of.max() + 1)]
    return [np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))]) for _ in range(RESAMPLES)]


def main(path: str) -> None:
    """Print the table."""
    models = read(path)
    draws, patching = resamples(models), models.uds.to_numpy(float)[2:]
    wanted = {depth: truth(models, depth) for depth in ("uds", "logit_lens")}
    print("Reported by others, not measured here: 150 models, 8 methods, 24 cells of method and learning rate.\n")
    head = [
        "scalar",
        "erased ~ patching",
        "whole ~ HM(patching, kept)",
        "whole ~ HM(logit lens, kept)",
        "33 unchanged have",
    ]
    head += ["target has", "retrain has", "models above retrain"]
    print(f"| {' | '.join(head)} |\n|---{'|---:' * (len(head) - 1)}|")
    for one in candidates(models):
        whole = one.whole[2:]
        low, high = np.quantile([spearman(whole[d], wanted["uds"][d]) for d in draws], [0.025, 0.975])
        cells = [f"{spearman(one.erased[2:], patching):.2f}".replace("nan", "")]
        cells += [
            f"{spearman(whole, wanted['uds']):.3f} [{low:.2f}, {high:.2f}]",
            f"{spearman(whole, wanted['logit_lens']):.3f}",
        ]
        cells += [f"{whole[patching < HIDDEN].mean():.2f}", f"{one.whole[0]:.2f}", f"{one.whole[1]:.2f}"]
        print(f"| {one.name} | {' | '.join([*cells, str(int(np.sum(whole > one.whole[1] + 1e-9)))])} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
