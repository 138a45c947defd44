"""The SIMU paper's study: what m, t, the mask, the score and the choice of weights do, compared at matched forgetting.

Runs stop at different places of one trade-off, so comparing where they end crowns whoever stopped earlier. Each run
leaves a trace (mean probability of forget and of retain answers at a few points on its way); settings are compared by
the retain probability that a run has left when its forget probability has fallen to a given level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.compare.trade_off import retained_at
from bench.run.plan import Request
from bench.store.record import Record
from bench.study.neurons import shares_by_threshold
from bench.study.study import Estimate, Study, at_the_end, over_seeds, table

BASE = "simu-graddiff"
RANDOM = f"{BASE}@neurons=random"
STEPS = (1, 2, 5, 10, 20)
THRESHOLDS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)


def _at(**parameters: object) -> str:
    """The variant of the base method with these parameters; what is the paper's default is not said."""
    said = {k: v for k, v in parameters.items() if (k, v) not in {("m", 5), ("t", 0.3)}}
    return "@".join([BASE, *(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in said.items())])


STUDIES: dict[str, list[str]] = {
    "m, at t = 0.3": [_at(m=m) for m in STEPS] + [RANDOM],
    "t, at m = 5": [_at(t=t) for t in THRESHOLDS],
    "t, random neurons of the same number": [_at(t=t, neurons="random") for t in THRESHOLDS],
    "mask": [BASE, _at(mask="forget-only"), RANDOM, _at(mask="forget-only", neurons="random")],
    "score": [BASE, *(_at(score=score) for score in ("loss", "neg-loss", "absolute")), RANDOM],
    "weights that may move": [
        BASE,
        RANDOM,
        _at(neurons="none"),
        _at(attention=False),
        _at(attention=False, neurons="random"),
        _at(neurons="all"),
    ],
}


def methods() -> list[str]:
    """Every setting of the study, once."""
    return list(dict.fromkeys(name for names in STUDIES.values() for name in names))


def compare(records: Mapping[tuple[str, int], Record], one: str, other: str, level: float) -> Estimate:
    """Retain probability at the level, `one` minus `other`, paired by seed; seeds that never got there are out."""
    seeds = [seed for name, seed in records if name == one and (other, seed) in records]
    pairs = [(retained_at(records[one, s], level), retained_at(records[other, s], level)) for s in seeds]
    return over_seeds([a - b for a, b in pairs if a is not None and b is not None], lowest=-1.0)


def report(records: Mapping[tuple[str, int], Record], level: float) -> str:
    """The tables of the study in Markdown, from records by (method, seed)."""
    parts = []
    for title, names in STUDIES.items():
        parts += [f"### {title}\n", _table(records, names, level), ""]
    return "\n".join(parts)


def _table(records: Mapping[tuple[str, int], Record], names: Sequence[str], level: float) -> str:
    heads = ["setting", "weights that move", f"retain probability at forget probability {level}"]
    heads += ["minus random neurons", "at the end: forget", "retain", "model utility", "task aggregate"]
    rows = []
    for name in names:
        group = [record for (method, _), record in sorted(records.items()) if method == name and record.status == "ok"]
        reached = [v for v in (retained_at(r, level) for r in group) if v is not None]
        against = name + "@neurons=random" if "neurons=" not in name else RANDOM
        against = against if any(method == against for method, _ in records) else RANDOM
        cells = [f"`{name}`", f"{np.mean([r.cost['weights_moved'] for r in group]):.0f}" if group else "-"]
        cells += [str(over_seeds(reached)), "-" if name == against else str(compare(records, name, against, level))]
        rows.append(cells + at_the_end(group))
    return table(heads, rows)


def plot(
    records: Mapping[tuple[str, int], Record], level: float, counts: Mapping[float, Sequence[float]], path: Path
) -> None:
    """Four panels that correspond to the paper's figures 2 to 5: m, t, critical neurons by t, masks and weights.

    Args:
        counts: for each threshold the share of neurons kept, one value a seed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ((first, second), (third, fourth)) = pyplot.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    _errorbars(first, records, {m: _at(m=m) for m in STEPS}, level, "critical neurons", "o")
    _errorbars(first, records, dict.fromkeys(STEPS, RANDOM), level, "random neurons", "s")
    first.set(xlabel="m (steps of the attribution)", xscale="log", title="m, at t = 0.3 (paper: figure 2)")
    _errorbars(second, records, {t: _at(t=t) for t in THRESHOLDS}, level, "critical neurons", "o")
    _errorbars(second, records, {t: _at(t=t, neurons="random") for t in THRESHOLDS}, level, "random neurons", "s")
    second.set(xlabel="t (threshold)", title="t, at m = 5 (paper: figure 3)")
    for axes in (first, second):
        axes.set_ylabel(f"retain probability at forget probability {level}")
        axes.legend()
    shares = {t: over_seeds(values) for t, values in counts.items()}
    third.errorbar(
        list(shares),
        [e.mean for e in shares.values()],
        [e.half for e in shares.values()],
        fmt="o-",
        color="black",
        capsize=3,
    )
    third.set(xlabel="t (threshold)", ylabel="share of neurons kept", title="critical neurons by t (paper: figure 4)")
    _traces(fourth, records)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _errorbars(axes, records, names, level, label, marker) -> None:  # type: ignore[no-untyped-def]
    found = {}
    for x, name in names.items():
        values = [retained_at(r, level) for (method, _), r in records.items() if method == name]
        found[x] = over_seeds([v for v in values if v is not None])
    kept = {x: e for x, e in found.items() if e.n}
    shade = "black" if marker == "o" else "0.55"
    axes.errorbar(
        list(kept), [e.mean for e in kept.values()], [e.half for e in kept.values()],
        fmt=f"{marker}-", color=shade, capsize=3, label=label,
    )  # fmt: skip


def _traces(axes, records) -> None:  # type: ignore[no-untyped-def]
    """The trade-off curves of masks and weights, one line a seed."""
    styles = {
        BASE: ("dual mask", "-", "black"),
        _at(mask="forget-only"): ("forget-only mask", "--", "black"),
        RANDOM: ("random neurons", "-", "0.6"),
        _at(neurons="none"): ("attention alone", ":", "black"),
        _at(attention=False): ("critical neurons alone", "-.", "0.4"),
    }
    for name, (label, line, shade) in styles.items():
        for index, record in enumerate(r for (method, _), r in sorted(records.items()) if method == name):
            forget, retain = (record.curve[f"trace {part} probability"] for part in ("forget", "retain"))
            axes.plot(forget, retain, line, color=shade, linewidth=1.2, label=label if index == 0 else None)
    axes.invert_xaxis()
    axes.set(xlabel="forget probability", ylabel="retain probability", title="masks and weights (paper: figure 5)")
    axes.legend(fontsize="small")


def _shares(request: Request, task: str, seeds: Sequence[int]) -> dict[float, list[float]]:
    return shares_by_threshold(request, task, seeds, THRESHOLDS, lambda *_: None)


STUDY = Study(lambda model, task: methods(), report, plot, look=_shares)
