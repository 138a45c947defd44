"""`leaderboard.md`: a pure function of the analysed tables. What it says is defined in `docs/statistics.md`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.api import Score
from bench.board import reported
from bench.compare.analysis import FORGET_QUALITY, RANKED_BY, Comparison, Row, Rules, Table, across_tasks
from bench.compare.comparing import holm, too_few
from bench.compare.trade_off import AREA, RETAINED
from bench.metrics._forms import RetrainTest
from bench.score.scoring import find
from bench.store.record import CONTROLS, RETRAIN

_REAL = {
    *("dcc18ba54af7a963", "c8f1c2a0051748fa", "7a0e07fd057faefb"),  # TOFU's splits, without a holdout set
    *("faa422cd747bc3ec", "88d020ab41fac1c1", "e8b80cdbf845a48e", "96a21301c6c63838"),  # LUME and its three tasks
}
"""Digests of what is measured on the real benchmarks: no other files are called real."""
_WORLDS = {
    "embedded": "embedded world (invented by this project; no number below is a TOFU or LUME number)",
    "hub": "the real data, from the hub",
    "elsewhere": "measured elsewhere, scored here from the logs of others",
    "files": "the real data, from a directory of the benchmark's files",
}
_MODELS = {
    "tiny": "`tiny`, a Llama of a million parameters trained from scratch",
    "small": "`small`, a Llama of 4 (LUME: 2) million parameters taught this data and general facts from scratch",
}
_HOW_TO_READ = """\
**How to read this.** A number is the mean over seeds ± half its 95% interval (seeds, authors or documents, items).
**Bold** is the best of the ranked, and what is not significantly worse. A rank holds what its first does not beat.
*Forget quality* is log10 p of a test against the retrain model: 0 is like never having learnt, -5 is far from it.
*Model utility* is what is left of what should be kept; forgetting without it is no success, so collapse is set apart.
*Retained* and *area* compare runs where they have forgotten as much. Intervals may be skewed: `leaderboard --html`
has both ends. What the words mean: docs/metrics.md and docs/statistics.md.
"""


def render(tables: Sequence[Table], rules: Rules, problems: Sequence[str] = ()) -> str:
    """The text of `leaderboard.md`; `problems` are files that hold no record that can be used."""
    parts = [
        "# Leaderboard\n",
        "Written by `python -m bench leaderboard` from `results/`; do not edit.\n",
        _HOW_TO_READ,
        *(_section(table, rules) for table in tables),
        _across(tables, rules),
        "\n".join(["## Left out of every table\n", *(f"- {problem}" for problem in problems), ""]) if problems else "",
        _reported(),
    ]
    return "\n".join(part for part in parts if part)


def rows(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """One plain object a row of the board and a variant; cells that were left out are named in `problems`."""
    found = []
    for table in tables:
        problems: dict[str, list[str]] = {}
        for cell, reason in table.left_out:
            problems.setdefault(cell.method, []).append(f"seed {cell.seed} {reason}")
        place: dict[str, Any] = {"task": table.task, "model": table.model, "data": table.data}
        for row in (*table.rows, *table.variants):
            found.append(
                place
                | {
                    "method": row.method,
                    "rank": row.rank,
                    "set_apart": row.apart,
                    "seeds": list(row.seeds),
                    "problems": problems.pop(row.method, []),
                    "scores": {name: score._asdict() for name, score in row.scores.items()},
                    "by_seed": {name: list(values) for name, values in row.by_seed.items()},
                    "matched": {name: score._asdict() for name, score in row.matched._asdict().items()},
                    "overrides": dict(row.overrides),
                    "tuning_trials": row.tuning_trials,
                    "probes": list(row.probes),
                    "cost": dict(row.cost),
                    "notes": list(row.notes),
                }
            )
        found += [
            place | {"method": m, "seeds": [], "scores": {}, "problems": why} for m, why in sorted(problems.items())
        ]
    return found


def number(name: str, score: Mapping[str, Any]) -> str:
    """A score with its interval, or a dash where there is none."""
    value, lo, hi = score["value"], score["lo"], score["hi"]
    if value is None:
        return "-"
    if isinstance(find(name), RetrainTest):
        return f"{value:.2g}" + (f" [{lo:.1g}, {hi:.1g}]" if lo is not None else "")
    return f"{value:.3f}" + (f" [{lo:.3f}, {hi:.3f}]" if lo is not None else " [unknown]")


def short(name: str, score: Score) -> str:
    """A score as a table has it: value ± half its interval; of a p-value the logarithm."""
    if score.value is None:
        return score.note if score.note in ("not reached", "starts below") else "-"
    if isinstance(find(name), RetrainTest):
        if score.value == 0:
            return "< -300"
        half = None if not score.lo or not score.hi else (math.log10(score.hi) - math.log10(score.lo)) / 2
        return f"{math.log10(score.value) + 0.0:.1f}" + (" ± ?" if half is None else f" ± {half:.1f}")
    half = None if score.lo is None or score.hi is None else (score.hi - score.lo) / 2
    reached = f" ({score.note})" if score.note.startswith("reached by") else ""
    return f"{score.value:.3f}" + (" ± ?" if half is None else f" ± {half:.3f}") + reached


# -- one table -------------------------------------------------------------------------------------------------------


def title(table: Table) -> str:
    """Task, world, model, seeds and tuning budget."""
    seeds = sorted({seed for row in table.rows for seed in row.seeds})
    trials = max((row.tuning_trials for row in table.rows), default=0)
    tuned = f"at most {trials} setting{'s' if trials > 1 else ''} tried a method" if trials else "no tuning"
    return f"{table.task}: {kind(table)}, model {table.model}, {_seeds(seeds)}, {tuned}"


def about(table: Table) -> str:
    """What the world and the model are, and how the parameters were chosen."""
    tuned = any(by == "settings" for row in table.rows for by, _ in row.overrides.values())
    lines = [f"Data: {world(table)}.", f"Model: {_MODELS.get(table.model, f'`{table.model}`')}."]
    if tuned:
        lines.append(
            f"Tuning: `bench/settings/{table.model}.toml`, by hand on seed 0, by looking at these very scores."
        )
    return " ".join(lines)


def kind(table: Table) -> str:
    """Whose data it is, in two or three words."""
    known = {"embedded": "embedded world", "elsewhere": "measured elsewhere", "hub": "real data"}
    return known.get(table.data, "real data" if _is_real(table) else "data of your own")


def world(table: Table) -> str:
    """Whose data it is."""
    if table.data == "files" and not _is_real(table):
        return "a directory of files that are not the benchmark's, whatever their names say"
    return _WORLDS.get(table.data, table.data)


def _is_real(table: Table) -> bool:
    return bool(table.rows) and all(set(row.probes) <= _REAL for row in table.rows)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds)) or 'none'}"


def rules_line(table: Table, rules: Rules) -> str:
    """By which rules methods are ranked and set apart, and what the tests rest on."""
    ranked = RANKED_BY if RANKED_BY in table.headlines else next(iter(table.headlines), "nothing")
    parts = [
        f"Rules: best first by {ranked}; a method opens a new rank where the leader of the rank before is better with "
        f"p < {rules.alpha:g} (paired, between clusters; Holm over this table's {len(table.comparisons)} comparisons) "
        "and an interval of the difference without 0."
    ]
    if table.floors:
        floors = [f"{name.replace('_', ' ')} below {share:g} of the target's" for name, share in table.floors.items()]
        parts.append(f"Set apart: {', or '.join(floors)}.")
    if all(len(row.seeds) < 2 for row in table.rows):
        parts.append("One seed: the variance between seeds is unknown, and no number here contains it.")
    elif single := [row.method for row in table.rows if len(row.seeds) == 1]:
        parts.append(f"One seed only, so its ± has no variance between seeds: {', '.join(single)}.")
    return " ".join(parts)


def _section(table: Table, rules: Rules) -> str:
    lines = [f"## {title(table)}\n", about(table) + "\n"]
    if table.rows:
        lines += [_main(table, rules), "", rules_line(table, rules), ""]
    lines += [f"- {remark}" for remark in remarks(table, rules)]
    if table.variants:
        lines.append(f"- {len(table.variants)} variants (METHOD@PARAM=VALUE) are in `leaderboard --json`.")
    reasons: dict[str, list[str]] = {}
    for cell, reason in table.left_out:
        reasons.setdefault(reason, []).append(f"{cell.method}: seed {cell.seed}")
    lines += [f"- left out, {reason} ({', '.join(cells)})" for reason, cells in reasons.items()]
    if table.rows:
        for heading, names in table.details.items():
            shown = [name for name in names if any(name in row.scores for row in table.rows)]
            lines += [
                f"\n<details><summary>{heading} ({table.task})</summary>\n",
                _detail(table, shown),
                "\n</details>",
            ]
    return "\n".join(lines) + "\n"


def _main(table: Table, rules: Rules) -> str:
    traced = any(score.note != "no trace" for row in table.rows for score in row.matched)
    mixed = len({row.seeds for row in table.rows}) > 1
    roles = [role for role, name in table.headlines.items() if any(name in row.scores for row in table.rows)]
    heads = ["rank", "method", *roles, *([f"retained at {rules.level:g}", "area"] if traced else [])]
    heads += ["unlearning s", "peak MB", *(["seeds"] if mixed else [])]
    blind = too_few(table.comparisons, rules.alpha)
    best = {r: _best(table, n, rules) if (n := table.headlines[r]) not in blind else set() for r in roles}
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in table.rows:
        control = row.method in CONTROLS
        cells = ["apart" if row.apart else str(row.rank or ""), f"*{row.method}*" if control else row.method]
        for role in roles:
            name = table.headlines[role]
            said = short(name, row.scores.get(name, Score(None)))
            itself = row.method == RETRAIN and isinstance(find(name), RetrainTest)
            cells.append("itself" if itself else f"**{said}**" if row.method in best[role] else said)
        cells += [short("", score) for score in row.matched] if traced else []
        cells += ["-" if (v := row.cost.get(k)) is None else f"{v:.0f}" for k in ("unlearn_seconds", "peak_memory_mb")]
        cells += [", ".join(map(str, row.seeds))] if mixed else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _detail(table: Table, names: Sequence[str]) -> str:
    lines = ["| method | " + " | ".join(n.replace("_", " ") for n in names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in table.rows:
        name = f"*{row.method}*" if row.method in CONTROLS else row.method
        lines.append(f"| {name} | " + " | ".join(short(n, row.scores.get(n, Score(None))) for n in names) + " |")
    return "\n".join(lines)


def _best(table: Table, name: str, rules: Rules) -> set[str]:
    """The best ranked method on a metric, and all that do not differ from it significantly."""
    able = {row.method: row for row in table.rows if row.method not in CONTROLS and not row.apart}
    against = next((row.scores[name].value for row in table.rows if row.method == RETRAIN and name in row.scores), None)
    merits = {m: v for m, row in able.items() if (v := _merit(name, row, against)) is not None}
    if not merits:
        return set()
    leader = max(merits, key=lambda m: (merits[m], m))
    worse = {
        c.b if c.a == leader else c.a
        for c in table.comparisons
        if c.metric == name and leader in (c.a, c.b) and c.significant(rules.alpha)
    }
    return set(merits) - worse


def _merit(name: str, row: Row, retrain: float | None) -> float | None:
    """How good a score is, larger is better; one that is to match the retrain model's by its distance to that."""
    metric, value = find(name), row.scores.get(name, Score(None)).value
    if metric is None or value is None:
        return None
    if metric.goal == "match":
        return None if retrain is None else -abs(value - retrain)
    return value if metric.goal == "maximise" else -value


# -- lines below a table ---------------------------------------------------------------------------------------------


def remarks(table: Table, rules: Rules) -> list[str]:
    """What the tests say of a table, and what a reader must know of it."""
    said = (
        (_apart(table), _blind(table, rules), _band(table), _equal(table, rules), _matched(table, rules))
        if table.rows
        else ()
    )
    return [line for line in said if line] + list(table.notes)


def _apart(table: Table) -> str:
    """Why methods are set apart."""
    apart = [f"{row.method} ({row.apart})" for row in table.rows if row.apart]
    return f"Set apart: {', '.join(apart)}." if apart else ""


def _blind(table: Table, rules: Rules) -> str:
    """Metrics on which nothing can be significant, whatever the methods do."""
    names = too_few(table.comparisons, rules.alpha)
    if not names:
        return ""
    told = ", ".join(f"{name.replace('_', ' ')} ({n} clusters)" for name, n in names.items())
    return f"Too few clusters for any difference to be significant, so none is bold: {told}."


def _band(table: Table) -> str:
    """What forget quality has to reach."""
    if FORGET_QUALITY not in table.headlines:
        return ""
    if table.band is None:
        return "Forget quality's band between retrain models is unknown: it takes two seeds or more."
    ks, log = table.band.ks, table.band.log10_p
    return (
        f"What forget quality has to reach: retrain models of different seeds ({ks.n} pairs) are {log.value:.1f} from "
        f"each other ({log.lo:.1f} to {log.hi:.1f}), a KS distance of {ks.value:.3f} ({ks.lo:.3f} to {ks.hi:.3f})."
    )


def _equal(table: Table, rules: Rules) -> str:
    """Pairs of ranked methods that forget equally well."""
    name = table.headlines.get(FORGET_QUALITY)
    apart = {row.method for row in table.rows if row.apart}
    compared = [c for c in table.comparisons if c.metric == name and not {c.a, c.b} & apart]
    if not compared:
        return ""
    known = [c for c in compared if c.equivalent is not None]
    p = holm([c.equivalent or 0.0 for c in known])
    pairs = [f"{c.a} and {c.b}" for c, q in zip(known, p, strict=True) if q < rules.alpha]
    said = ", ".join(pairs) if pairs else "no pair"
    if pairs and max(len(c.seeds) for c in known) < 2:
        said += " (these runs; other seeds are unknown)"
    return (
        f"Equally far from the retrain model (KS within {rules.margin:g}; TOST, Holm over {len(known)} pairs, "
        f"p < {rules.alpha:g}): {said}."
    )


def _matched(table: Table, rules: Rules) -> str:
    """What the tests at matched forgetting say."""
    if not any(row.matched.area.value is not None for row in table.rows):
        return ""
    if not table.matched:
        return (
            "One seed: methods cannot be tested at matched forgetting. *Retained* is retain probability, for utility."
        )
    found = {
        kind: [c for c in table.matched if c.metric == kind and c.p_holm < rules.alpha] for kind in (RETAINED, AREA)
    }
    said = "; ".join(f"by {kind}: {_orders(pairs)}" for kind, pairs in found.items())
    return f"At matched forgetting (t-test paired by seed, Holm over {len(table.matched)}), significant {said}."


def _orders(compared: Sequence[Comparison]) -> str:
    orders = [(c.a, c.b) if c.difference > 0 else (c.b, c.a) for c in compared]
    return ", ".join(f"{better} > {worse}" for better, worse in orders) or "none"


# -- below all tables ------------------------------------------------------------------------------------------------


def _across(tables: Sequence[Table], rules: Rules) -> str:
    """Average ranks over tasks, for each data and model."""
    lines = []
    for (data, model), ranking in across_tasks(tables, rules.alpha).items():
        kinds = dict.fromkeys(kind(table) for table in tables if (table.data, table.model) == (data, model))
        head = f"- {' and '.join(kinds)}, model {model}: "
        if ranking.difference is None:
            lines.append(f"{head}{ranking.note}.")
            continue
        named = ", ".join(f"{m} {rank:.2f}" for m, rank in zip(ranking.methods, ranking.ranks, strict=True))
        lines.append(
            f"{head}average ranks over {len(ranking.tasks)} tasks: {named}. Friedman p = {ranking.p:.2g}; two methods "
            f"differ where their ranks are {ranking.difference:.2f} apart (Nemenyi, {rules.alpha:g})."
        )
    return "## Across tasks\n\n" + "\n".join(lines) + "\n" if lines else ""


def _reported() -> str:
    """Other people's numbers, in tables of their own."""
    parts = ["## Reported, not measured\n", "Numbers that others have published, as they stand there.\n"]
    for table in reported.tables():
        parts += [f"<details><summary>{table.title} (reported, not measured)</summary>\n"]
        parts += [f"Source: {table.source}. {table.note}\n"]
        parts += ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
        parts += [
            "| " + " | ".join("" if cell is None else _published(cell) for cell in row) + " |" for row in table.rows
        ]
        parts.append("\n</details>\n")
    return "\n".join(parts)


def _published(cell: str | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:g}"
