"""`leaderboard.md`: a pure function of the records in a results directory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from bench.api import Score
from bench.record import Cell, Record

HEADLINES = ("forget_quality", "model_utility", "mia_auc", "task_aggregate")
_DETAILS = ("rouge", "probability", "truth_ratio", "accuracy", "exact_memorisation", "extraction_strength", "mia_min_k")
_PARTS = tuple(
    f"{s}_{part}" for s in ("retain", "ra", "wf") for part in ("probability", "rouge", "truth_ratio", "accuracy")
)
_TOFU = {"dcc18ba54af7a963", "c8f1c2a0051748fa", "7a0e07fd057faefb"}
"""Digests of what is measured on the real TOFU (without a holdout set): no other files are called real."""
_CONTROLS = ("target", "retrain")
_WORLDS = {
    "embedded": "embedded world (invented by this project; no number below is a TOFU or LUME number)",
    "hub": "the real data, from the hub",
    "elsewhere": "measured elsewhere, scored here from the logs of others",
    "files": "the real data, from a directory of the benchmark's files",
}
_MODELS = {
    "tiny": "`tiny`, a Llama of a million parameters trained from scratch",
    "small": "`small`, a Llama of 4 million parameters trained from scratch, whose base was first taught the true "
    "answers of real authors and world facts (rehearsed in every fine-tuning, or its utility would be near zero)",
}
_HOW_TO_READ = """\
**How to read this.** Every number stands with its 95% interval over items (bootstrap; DeLong for AUC).
*Forget quality* is the p-value of TOFU's Kolmogorov-Smirnov test against the retrain model's truth ratios (high: not
distinguishable from never having learnt it); *model utility* is the harmonic mean of nine numbers on what should be
kept; *MIA AUC* separates forget from holdout items by their loss (0.5: nothing leaks); the *task aggregate* is high
only when forgetting and keeping both succeed, and rests on accuracy under paraphrased questions, where 1/6 is chance:
look at the accuracies below before reading much into it. Forgetting without utility is no success: a destroyed model
forgets everything. Rows are ordered by task aggregate, controls on top; the order is no claim that a difference is
real: where intervals overlap it may not be. With several seeds a number is their mean (of the logarithm, for p-values)
and the interval is the widest that covers the intervals of all of them.
"""


def rows(records: Mapping[Cell, Record]) -> list[dict[str, Any]]:
    """One plain object a row of the board: task, method, model, data, seeds, scores, overrides, cost and notes.

    Cells without scores (diverged, failed) are named in `problems` and take no part in the scores.
    """
    found = []
    key = lambda cell: (cell.data, cell.model, cell.task, cell.method)  # noqa: E731
    for (data, model, task, method), cells in groupby(sorted(records, key=lambda c: (*key(c), c.seed)), key):
        group = [records[cell] for cell in cells]
        good = [r for r in group if r.status == "ok"]
        names = dict.fromkeys(name for r in good for name in r.scores)
        found.append(
            {
                "task": task,
                "method": method,
                "model": model,
                "data": data,
                "seeds": [r.cell.seed for r in good],
                "problems": [f"seed {r.cell.seed} {r.status}: {_last_line(r)}" for r in group if r.status != "ok"],
                "scores": {
                    name: _over_seeds(name, [r.scores[name] for r in good if name in r.scores]) for name in names
                },
                "overrides": {p: (by, r.parameters[p]) for r in good for p, by in r.overrides.items()},
                "tuning_trials": max((r.tuning_trials for r in good), default=0),
                "probes": sorted({str(r.identity.get("probes", "")) for r in good}),
                "outdated": any(_outdated(r, records) for r in good),
                "cost": {k: _mean([r.cost.get(k) for r in good]) for k in ("unlearn_seconds", "peak_memory_mb")},
                "notes": list(dict.fromkeys(note for r in group for note in r.notes)),
                "dirty": any(r.environment.get("dirty") for r in group),
            }
        )
    return sorted(found, key=_order)


def render(records: Mapping[Cell, Record]) -> str:
    """The text of `leaderboard.md`."""
    parts = [
        "# Leaderboard\n",
        "Written by `python -m bench leaderboard` from `results/`; do not edit.\n",
        _HOW_TO_READ,
    ]
    for (data, model, task), group in groupby(rows(records), key=lambda r: (r["data"], r["model"], r["task"])):
        named = list(group)
        shown = [row for row in named if "@" not in row["method"]]
        parts.append(_section(data, model, task, shown, len(named) - len(shown)))
    return "\n".join(parts)


def _outdated(record: Record, records: Mapping[Cell, Record]) -> bool:
    """Whether the retrain cell was measured anew since this one was compared with it."""
    retrain = records.get(record.cell._replace(method="retrain"))
    against = record.identity.get("retrain")
    return retrain is not None and against not in (None, "itself", "") and against != retrain.keys["measure"]


def _partly(score: Mapping[str, Any]) -> bool:
    return score["value"] is not None and bool(score["note"])


def _titles(data: str, group: Sequence[Mapping[str, Any]]) -> str:
    known = {"embedded": "embedded world", "elsewhere": "measured elsewhere", "hub": "real data"}
    return known.get(data, "real data" if _is_tofu(group) else "data of your own")


def _world(data: str, group: Sequence[Mapping[str, Any]]) -> str:
    if data == "files" and not _is_tofu(group):
        return "a directory of files that are not TOFU's, whatever their names say"
    return _WORLDS.get(data, data)


def _is_tofu(group: Sequence[Mapping[str, Any]]) -> bool:
    return all(set(row["probes"]) <= _TOFU for row in group)


def number(name: str, score: Mapping[str, Any]) -> str:
    """A score as the board prints it: value and interval, or a dash where there is none."""
    value, lo, hi = score["value"], score["lo"], score["hi"]
    if value is None:
        return "-"
    if name == "forget_quality":
        return f"{value:.2g}" + (f" [{lo:.1g}, {hi:.1g}]" if lo is not None else "")
    return f"{value:.3f}" + (f" [{lo:.3f}, {hi:.3f}]" if lo is not None else " [unknown]")


def _section(data: str, model: str, task: str, group: Sequence[dict[str, Any]], variants: int) -> str:
    seeds = sorted({seed for row in group for seed in row["seeds"]})
    tuned = "none known"
    if any(by == "settings" for row in group for by, _ in row["overrides"].values()):
        tuned = (
            f"parameters of `bench/settings/{model}.toml`, set by hand on forget10, seed 0, by looking at these very "
            f"scores; settings tried a method: at most {max(row['tuning_trials'] for row in group)}"
        )
    lines = [
        f"## {task}: {_titles(data, group)}, model {model}\n",
        f"Data: {_world(data, group)}. Model: {_MODELS.get(model, f'`{model}`')}. "
        f"Seeds: {', '.join(map(str, seeds)) or 'none'}. Tuning: {tuned}.\n",
    ]
    lines.append(_table(group, HEADLINES, with_cost=True))
    for title, names in (("The forget set, and membership", _DETAILS), ("What should be kept", _PARTS)):
        lines.append(f"\n<details><summary>{title} ({task})</summary>\n")
        lines.append(_table(group, names, with_cost=False))
        lines.append("\n</details>")
    lines.append("")
    notes = [note for row in group for note in row["notes"]]
    if variants:
        notes.append(f"{variants} variants (METHOD@PARAM=VALUE) are left out; `leaderboard --json` has them.")
    notes += [f"{row['method']}: {problem}" for row in group for problem in row["problems"]]
    for row in group:
        typed = [f"{name} = {value}" for name, (by, value) in row["overrides"].items() if by == "--set"]
        notes += [f"{row['method']}: {', '.join(typed)} by --set"] if typed else []
        notes += [f"{row['method']}: {name}: {s['note']}" for name, s in row["scores"].items() if _partly(s)]
    dirty = [row["method"] for row in group if row["dirty"]]
    notes += [f"Made from a tree with uncommitted changes: {', '.join(dirty)}."] if dirty else []
    outdated = [row["method"] for row in group if row["outdated"]]
    notes += [f"Compared with a retrain model that has changed since: {', '.join(outdated)}."] if outdated else []
    unscored: dict[str, list[str]] = {}
    for row in group:
        for name, score in row["scores"].items():
            if score["value"] is None:
                unscored.setdefault(score["note"] or "no value", []).append(name)
    notes += [f"Unscored, {reason}: {', '.join(dict.fromkeys(names))}." for reason, names in unscored.items()]
    lines += [f"- {note}" for note in dict.fromkeys(notes)]
    return "\n".join(lines) + "\n"


def _table(group: Sequence[dict[str, Any]], names: Sequence[str], with_cost: bool) -> str:
    shown = [n for n in names if any(n in row["scores"] for row in group)] or list(names)
    mixed = len({tuple(row["seeds"]) for row in group}) > 1
    extra = (["unlearning s", "peak MB"] if with_cost else []) + (["seeds"] if mixed else [])
    lines = ["| method | " + " | ".join([n.replace("_", " ") for n in shown] + extra) + " |"]
    lines.append("|---|" + "---|" * (len(shown) + len(extra)))
    for row in group:
        name = f"*{row['method']}*" if row["method"] in _CONTROLS else row["method"]
        cells = [number(n, row["scores"].get(n, Score(None)._asdict())) for n in shown]
        if row["method"] == "retrain" and "forget_quality" in shown:
            cells[shown.index("forget_quality")] = "itself"
        if with_cost:
            cells += ["-" if row["cost"][k] is None else f"{row['cost'][k]:.0f}" for k in row["cost"]]
        if mixed:
            cells.append(", ".join(map(str, row["seeds"])))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _over_seeds(name: str, scores: Sequence[Score]) -> dict[str, Any]:
    """One score for several seeds: the mean (of logarithms for a p-value) and the interval that covers theirs."""
    values = [s.value for s in scores if s.value is not None]
    if not values:
        return Score(None, note=scores[0].note)._asdict()
    mean = math.fsum(values) / len(values)
    if name == "forget_quality":
        mean = 0.0 if min(values) == 0 else math.exp(math.fsum(map(math.log, values)) / len(values))
    lows, highs = [s.lo for s in scores if s.lo is not None], [s.hi for s in scores if s.hi is not None]
    note = next((s.note for s in scores if s.note), "")
    return Score(mean, min(lows, default=None), max(highs, default=None), max(s.n for s in scores), note)._asdict()


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    place = _CONTROLS.index(row["method"]) if row["method"] in _CONTROLS else len(_CONTROLS)
    aggregate = row["scores"].get("task_aggregate", {}).get("value")
    return row["data"], row["model"], row["task"], place, -(aggregate if aggregate is not None else -1.0), row["method"]


def _last_line(record: Record) -> str:
    return (record.error.strip().splitlines() or ["no reason kept"])[-1]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None
