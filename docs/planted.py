"""Scalars for forgetting on planted models, whose knowledge is known because it was put there.

    python docs/planted.py

A world has authors (clusters), their questions (items) and an answer's tokens. A token's margin over its best rival
lies somewhere between what it is without and with the knowledge; the metrics are computed from margins as they are from
logits. A planted model has a dose of the knowledge in each of three ways of asking: how likely the answer's own words
are (verbatim), what is said (spoken), and which of the paraphrased and false options is preferred (preferred). A model
that forgot has lost it in all three; one that hides, only where it is looked for. The board's own row is computed by
`bench.compare.headline`.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.compare.crossed import Crossed, Run
from bench.compare.headline import shares, telling
from bench.metrics._forms import harmonic_mean
from bench.score.scoring import build
from bench.store.record import RETRAIN, TARGET

Array = np.ndarray
Reduce = Callable[[Array], Array]

AUTHORS, QUESTIONS, TOKENS, WORLDS = 20, 20, 24, 100
OWN = "the board's"
METRICS = {name: build(name) for name in ("extraction_strength", "exact_memorisation", "truth_preference")}
UTILITY = build("retain_rouge")


class Planted(NamedTuple):
    """A model: dose 1 is the target's knowledge, 0 retrain's, below 0 beyond it; what it keeps of utility."""

    verbatim: float
    spoken: float
    preferred: float
    kept: float = 0.98
    refuses: bool = False
    collapsed: bool = False
    broken_ending: bool = False
    fresh: bool = False  # trained apart from the retrain model that is compared with


def at(dose: float) -> Planted:
    """The same dose in whatever way it is asked."""
    return Planted(dose, dose, dose)


MODELS: Mapping[str, Planted] = {
    "untouched": Planted(1, 1, 1, 1.0),
    "dose 50%": at(0.5),
    "dose 25%": at(0.25),
    "dose 10%": at(0.1),
    "dose 0%": at(0.0),
    "second retrain": Planted(0, 0, 0, fresh=True),
    "over-forgetting": at(-0.7),
    "far beyond": at(-3.0),
    "collapse": Planted(0, 0, 0, 0.0, collapsed=True),
    "refusal": Planted(1, 1, 1, refuses=True),
    "soft refusal": Planted(0.8, 1, 0.9, refuses=True),
    "silent to the question": Planted(0.0, 0.0, 1),
    "broken ending": Planted(1, 1, 1, broken_ending=True),
}
DOSES = ("untouched", "dose 50%", "dose 25%", "dose 10%", "dose 0%")
HIDERS = ("refusal", "soft refusal", "silent to the question", "broken ending")


class World(NamedTuple):
    """Margins without and with the knowledge, [n, T], and the log odds of the true option, [n]."""

    without: Array
    known: Array
    again: Array  # margins of another retrain model
    odds: Array
    odds_known: Array
    odds_again: Array
    luck: Array


def world(rng: np.random.Generator) -> World:
    """Authors and questions differ in how guessable they are; a second retrain differs in its tokens."""
    n = AUTHORS * QUESTIONS
    author = np.repeat(rng.normal(0, 0.5, AUTHORS), QUESTIONS)
    item = author + rng.normal(0, 0.8, n)
    word = rng.normal(0, 1.8, (n, TOKENS))
    without, again = (item[:, None] + word + rng.normal(0, 0.8, (n, TOKENS)) - 0.1 for _ in range(2))
    known = 5 + 0.3 * item[:, None] + rng.normal(0, 1.0, (n, TOKENS))
    true = 0.2 + 0.3 * author + rng.normal(0, 0.8, n)
    odds, odds_again = (true + rng.normal(0, 0.2, n) for _ in range(2))
    return World(without, known, again, odds, odds + 0.5 + rng.normal(0, 0.2, n), odds_again, rng.normal(-1.2, 0.8, n))


def statistics(model: Planted, of: World) -> dict[str, Array]:
    """Item values of a planted model, [n]; down is forgotten. TR is truth preference, C / (C + W)."""
    base, odds = (of.again, of.odds_again) if model.fresh else (of.without, of.odds)
    margin = base + model.verbatim * (of.known - of.without)
    said = base + model.spoken * (of.known - of.without)
    preferred = odds + model.preferred * (of.odds_known - of.odds)
    if model.collapsed:
        margin, said, preferred = np.full_like(margin, -40), np.full_like(said, -40), of.luck * 0
    if model.broken_ending:
        margin, said = margin.copy(), said.copy()
        margin[:, -1] = said[:, -1] = -3
    hit, spoken = margin > 0, said > 0
    prefix = np.cumprod(spoken, axis=1).mean(1)
    rouge = prefix + 0.4 * (1 - prefix) * (not model.collapsed)
    # the paraphrased question is answered from what is preferred, not from the answer's own words
    right = (4 * (preferred - odds) + of.luck > 0).astype(float) * (not model.collapsed)
    if model.refuses:
        rouge, right = np.full_like(rouge, 0.05), np.zeros_like(right)
    return {
        "rouge": rouge,
        "accuracy": right,
        "probability": np.exp(-np.logaddexp(0, -margin).mean(1)),
        "ES": np.cumprod(hit[:, ::-1], axis=1).mean(1),
        "EM": hit.mean(1),
        "TR": 1 / (1 + np.exp(-preferred)),
    }


def crossed(of: World) -> Crossed:
    """The planted models as the board reads them, `dose 0%` as retrain and `untouched` as target."""
    n = AUTHORS * QUESTIONS
    ids, labels = [f"{i:03}" for i in range(n)], [f"author-{i // QUESTIONS:02}" for i in range(n)]
    values = {}
    for name, model in (*MODELS.items(), (TARGET, MODELS["untouched"]), (RETRAIN, MODELS["dose 0%"])):
        x = statistics(model, of)
        values[Run(name, 0)] = {
            ("forget", "extraction_strength"): x["ES"],
            ("forget", "exact_memorisation"): x["EM"],
            ("forget", "log_truth_ratio"): np.log(1 / x["TR"] - 1),
            ("retain", "rouge"): np.full(n, 0.8 * model.kept),
        }
    return Crossed(dict.fromkeys(("forget", "retain"), ids), dict.fromkeys(("forget", "retain"), labels), values)


def mean(parts: Array) -> Array:
    """Arithmetic mean over the first axis."""
    return np.mean(parts, axis=0)


def harmonic(parts: Array) -> Array:
    """Harmonic mean over the first axis; 0 where a part is 0."""
    return harmonic_mean(list(parts))


def clipped(x: Array) -> Array:
    """(x - target) / (retrain - target) within [0, 1]."""
    return np.clip(x, 0, 1)


def symmetric(x: Array) -> Array:
    """1 - |x - retrain| / |target - retrain|, at least 0."""
    return np.maximum(0, 1 - np.abs(x - 1))


class Candidate(NamedTuple):
    """What is joined, how, and how each is scaled."""

    name: str
    metrics: Sequence[str]
    reduce: Reduce = mean
    form: Reduce = clipped


ALL = ("ES", "EM", "TR", "rouge", "accuracy", "probability")
CANDIDATES = (
    Candidate(OWN, ()),
    Candidate("ES, EM and TR, harmonic mean", ALL[:3], harmonic),
    Candidate("ES, EM and TR, mean", ALL[:3]),
    Candidate("ES and TR, mean", ("ES", "TR")),
    Candidate("probability, ES and EM, mean", ("probability", "ES", "EM")),
    Candidate("rouge and accuracy, mean", ("rouge", "accuracy")),
    Candidate("all six, mean", ALL),
    Candidate("ES, EM and TR, mean, symmetric", ALL[:3], mean, symmetric),
    Candidate("theirs: HM(1-ES, 1-EM, 1-TR, 1-PP), unscaled", ()),
)


def headlines(of: World) -> Array:
    """Harmonic mean of erased and kept, [candidate, model]."""
    means = {name: {k: v.mean() for k, v in statistics(model, of).items()} for name, model in MODELS.items()}
    target, retrain, board = means["untouched"], means["dose 0%"], crossed(of)
    told = telling(board, METRICS, (0,))
    found = np.zeros((len(CANDIDATES), len(MODELS)))
    for j, (name, model) in enumerate(MODELS.items()):
        x = means[name]
        way = {k: (x[k] - target[k]) / (retrain[k] - target[k]) for k in x}
        for i, one in enumerate(CANDIDATES):
            if one.name == OWN:
                made = shares(board, told, UTILITY, Run(name, 0))
                found[i, j] = np.nan if made is None else made.headline().value
                continue
            parts = np.array([one.form(way[k]) for k in one.metrics])
            # of theirs, the probability of the answer stands in for that of a paraphrase
            erased = (
                one.reduce(parts)
                if len(parts)
                else harmonic(1 - np.array([x[k] for k in ("ES", "EM", "TR", "probability")]))
            )
            found[i, j] = harmonic(np.array([erased, model.kept]))
    return found


def verdicts(found: Array) -> dict[str, Array]:
    """What a scalar must do, of [world, candidate, model]: the share of worlds in which it does, [candidate]."""
    at_ = {name: found[..., j] for j, name in enumerate(MODELS)}
    beyond = ("over-forgetting", "far beyond")
    return {
        "doses in order": np.all([at_[b] > at_[a] for a, b in itertools.pairwise(DOSES)], axis=0).mean(0),
        "beyond earns nothing": np.all([at_[name] <= at_["dose 0%"] + 1e-9 for name in beyond], axis=0).mean(0),
        "beyond costs nothing": np.all([at_[name] >= 0.9 * at_["dose 0%"] for name in beyond], axis=0).mean(0),
        "ruin is 0": (at_["collapse"] < 1e-9).mean(0),
        "untouched is 0": (at_["untouched"] < 1e-9).mean(0),
        "hiders below dose 50%": np.all([at_[name] < at_["dose 50%"] for name in HIDERS], axis=0).mean(0),
    }


def table(head: Sequence[str], rows: Array) -> None:
    """Candidates by columns."""
    print(f"| scalar | {' | '.join(head)} |\n|---{'|---:' * len(head)}|")
    for one, line in zip(CANDIDATES, rows, strict=True):
        print(f"| {one.name} | {' | '.join(f'{v:.2f}' for v in line)} |")


def main() -> None:
    """Print the headlines and the verdicts."""
    rng = np.random.default_rng(0)
    found = np.stack([headlines(world(rng)) for _ in range(WORLDS)])
    print(f"Headline, mean of {WORLDS} worlds\n")
    table(list(MODELS), found.mean(0))
    tests = verdicts(found)
    print("\nShare of worlds\n")
    table(list(tests), np.array(list(tests.values())).T)


if __name__ == "__main__":
    main()
