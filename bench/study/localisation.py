"""Which weights: GradDiff and NPO on WAGLE's weights, on what WAGLE is compared with and on SIMU's, equally many.

One optimizer for all, Sophia as SIMU prescribes it. Settings are compared by the retain probability that a run has
left when its forget probability has fallen to a given level, minus that of random weights of the same number, paired by
seed; the tests are the board's, corrected for all that is tested here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.compare.comparing import Comparison
from bench.compare.trade_off import at_retrain, paired, retained_at
from bench.run.compose import compose
from bench.store.record import RETRAIN, Record
from bench.study.study import Estimate, Records, Study, at_the_end, over_seeds, table

OBJECTIVES = {"graddiff": "GradDiff", "npo": "NPO"}
RANDOM, LAYERS = "random-weights", "layer-random-weights"
SINGLE = ("wagle", LAYERS, "magnitude", "gradient", "snip", "wanda", RANDOM)
"""Scopes of single weights, all asked for as many as SIMU moves."""
SIMUS = ("simu", "random-neurons")
"""Attention in full and neurons, critical or random: the number that the others are given."""
SCOPES = (*SINGLE, *SIMUS, "all")
TESTED = [(name, RANDOM) for name in SCOPES if name not in (RANDOM, "all")] + [("wagle", LAYERS)]
"""What is tested; `all` is not, for it moves more weights."""
MULTIPLES = (1, 3)
"""Learning rates that every scope is run at, as multiples of that of SIMU's settings. No one rate would be fair: at a
low one some scopes never forget enough, and the faster a run, the less it has left where it has."""
EQUAL = 0.05
"""A difference below which two settings count as equally good, the board's margin."""


def methods(model: str, task: str) -> list[str]:
    """Every setting, with the learning rate that follows from what the settings of the model say of SIMU."""
    found = []
    for objective in OBJECTIVES:
        rate = compose(f"simu-{objective}", model, task=task).parameters["lr"]
        for scope in SCOPES:
            as_many = "@weights=simu" if scope in SINGLE else ""
            found += [f"{objective}+sophia+{scope}{as_many}@lr={multiple * rate:g}" for multiple in MULTIPLES]
    return found


def report(records: Records, level: float) -> str:
    """The tables of the study in Markdown."""
    tested = _tested(records, level)
    parts = []
    for objective, title in OBJECTIVES.items():
        parts += [
            f"### {title}\n",
            _table(records, objective, level, tested),
            "",
            *_said(records, objective, level, tested),
        ]
    parts += [
        f"Brackets are 95% t-intervals over seeds, differences paired by seed; p is corrected for the {len(tested)} "
        "differences that are tested (Holm). `all` moves more weights and is not tested. Every scope was run at "
        f"{len(MULTIPLES)} rates; each seed stands at the rate with which the other seeds have most left at the level.",
        "",
    ]
    return "\n".join(parts)


def plot(records: Records, level: float, seen: Any, path: Path) -> None:
    """A panel an objective: what each scope retains at the level, with its interval."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for axes, (objective, title) in zip(panels, OBJECTIVES.items(), strict=True):
        for row, scope in enumerate(SCOPES):
            found = over_seeds(_retained(runs(records, objective, scope, level), level))
            if found.n:
                shade = "0.55" if "random" in scope else "black"
                axes.errorbar(found.mean, row, xerr=found.half, fmt="o", color=shade, capsize=3)
        axes.set_yticks(range(len(SCOPES)), SCOPES)
        axes.set(title=title, xlabel=f"retain probability at forget probability {level}")
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_ylim(len(SCOPES) - 0.5, -0.5)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def runs(records: Records, objective: str, scope: str, level: float) -> dict[int, Record]:
    """The records of a scope by seed, each at the rate that the other seeds speak for.

    That is the rate at which they have most left at the level in the mean; a seed that never got there counts as 0. A
    seed's own result has no part in the choice, so nothing is chosen for having been lucky.
    """
    rates: dict[str, dict[int, Record]] = {}
    for (name, seed), record in sorted(records.items()):
        if name.partition("@")[0] == f"{objective}+sophia+{scope}":
            rates.setdefault(name, {})[seed] = record
    seeds = sorted({seed for own in rates.values() for seed in own})

    def left(name: str, seed: int) -> float:
        others = [other for other in seeds if other != seed] or [seed]
        return sum(retained_at(rates[name][o], level) or 0.0 for o in others if o in rates[name]) / len(others)

    chosen = {seed: max((name for name in rates if seed in rates[name]), key=lambda n: left(n, seed)) for seed in seeds}
    return {seed: rates[name][seed] for seed, name in chosen.items()}


def _tested(records: Records, level: float) -> dict[tuple[str, str, str], Comparison]:
    """By objective and pair of scopes: differences at the level, corrected together."""
    values, pairs = {}, []
    for objective in OBJECTIVES:
        for scope in SCOPES:
            own = runs(records, objective, scope, level)
            values[f"{objective} {scope}"] = {seed: retained_at(record, level) for seed, record in own.items()}
        pairs += [(f"{objective} {a}", f"{objective} {b}") for a, b in TESTED]
    found = paired(values, pairs, f"retained at {level}", EQUAL)
    return {(c.a.split()[0], c.a.split()[1], c.b.split()[1]): c for c in found}


def _table(records: Records, objective: str, level: float, tested: dict[tuple[str, str, str], Comparison]) -> str:
    heads = [
        "scope",
        "lr",
        "weights that move",
        f"retain probability at forget probability {level}",
        "minus random weights",
    ]
    heads += ["p", "kept at retrain's level", "at the end: forget", "retain", "model utility", "task aggregate"]
    rows = []
    for scope in SCOPES:
        own = runs(records, objective, scope, level)
        kept = [at_retrain(record, records.get((RETRAIN, seed))) for seed, record in own.items()]
        if not own:
            rows.append([f"`{scope}`", "not run", *["-"] * (len(heads) - 2)])
            continue
        cells = [f"`{scope}`", _rate(own), _numbers(own), _estimated(_retained(own, level), len(own))]
        cells += [*_difference(tested.get((objective, scope, RANDOM))), _estimated(_known(kept), len(own))]
        rows.append(cells + at_the_end([*own.values()]))
    return table(heads, rows)


def _said(records: Records, objective: str, level: float, tested: dict[tuple[str, str, str], Comparison]) -> list[str]:
    """Which weights against which layers, and whether the numbers are the same."""
    lines = []
    if found := tested.get((objective, "wagle", LAYERS)):
        difference, p = _difference(found)
        lines.append(f"WAGLE minus random weights, in each tensor as many: {difference}, p = {p}.")
    moved = [
        {seed: r.cost["weights_moved"] for seed, r in runs(records, objective, s, level).items()} for s in SCOPES[:-1]
    ]
    seeds = {seed for of in moved for seed in of}
    odd = sorted(seed for seed in seeds if len({of[seed] for of in moved if seed in of}) > 1)
    if odd:
        lines.append(f"Not the same number of weights in seed {', '.join(map(str, odd))}.")
    elif seeds:
        lines.append("In every seed all scopes but `all` move the same number of weights.")
    return [*lines, ""]


def _difference(found: Comparison | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    return f"{found.difference:.3f} [{found.lo:.3f}, {found.hi:.3f}]", f"{found.p_holm:.2g}"


def _retained(own: dict[int, Record], level: float) -> list[float]:
    return _known([retained_at(record, level) for record in own.values()])


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _estimated(values: Sequence[float], runs: int) -> str:
    """The mean with its interval, and in how many runs there is a number where that is not in all."""
    found: Estimate = over_seeds(values)
    return f"{found} ({found.n} of {runs} seeds)" if 0 < found.n < runs else str(found)


def _rate(own: dict[int, Record]) -> str:
    return ", ".join(dict.fromkeys(f"{record.parameters['lr']:g}" for record in own.values()))


def _numbers(own: dict[int, Record]) -> str:
    """How many weights moved, exactly: one number, or from the fewest to the most."""
    counts = sorted({int(record.cost["weights_moved"]) for record in own.values()})
    return " to ".join(f"{n:,}" for n in dict.fromkeys((counts[0], counts[-1])))


STUDY = Study(methods, report, plot, seeds="0,1,2,3,4")
