"""`leaderboard.md`: a pure function of the analysed tables. What it says is defined in `docs/statistics.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from bench.api import Score
from bench.board import reported
from bench.board.about import about, kind, title
from bench.board.numbers import short
from bench.board.verdict import best, is_told, remarks, rules_line, sentence
from bench.compare.analysis import HEADLINE, Row, Rules, Table, across_tasks
from bench.compare.headline import ERASED, KEPT
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP
from bench.score.limits import is_p
from bench.score.scoring import find
from bench.store.record import RETRAIN, TARGET

NOT_REACHED = "not reached"
_HOW_TO_READ = """\
**How to read this.** Each table begins with what it shows, in one sentence. *Erased* says how far a method went from
the untouched target (0) to a model that never saw the forget set (1), *kept* how much of the target's utility is left,
the *headline* is their harmonic mean: ruin is 0, doing nothing is 0, and *retrain*'s row is what another retrain model
scores, the ceiling. *KS distance* and *membership - retrain's* ask whether a ranked method can still be told from
retrain: a \u2260 says that a corrected test can; without it nothing is shown. In brackets both ends of 95% intervals.
Methods that share a letter are not shown to differ. What the words mean: docs/statistics.md, docs/metrics.md.
"""


def render(tables: Sequence[Table], rules: Rules, problems: Sequence[str] = ()) -> str:
    """The text of `leaderboard.md`; `problems` are files that hold no record that can be used."""
    parts = [
        "# Leaderboard\n",
        "Written by `python -m bench leaderboard` from `results/`; do not edit.\n",
        _HOW_TO_READ,
        "\n".join([*(f"- [{title(t)}](#{_anchor(title(t))})" for t in tables), ""]),
        *(_section(table, rules) for table in tables),
        _across(tables, rules),
        "\n".join(["## Left out of every table\n", *(f"- {problem}" for problem in problems), ""]) if problems else "",
        _reported(),
    ]
    return "\n".join(part for part in parts if part)


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def rows(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """One plain object a row of the board and a variant; cells that were left out are named in `problems`.

    `rank` is null where nothing is ranked. `matched.area` is null: it paid for ruin and is no longer computed.
    """
    found = []
    for table in tables:
        tests = [c._asdict() for c in table.comparisons]
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
                    "letters": row.letters,
                    "set_apart": row.apart,
                    "near_floor": row.near,
                    "changed_code": row.changed,
                    "seeds": list(row.seeds),
                    "problems": problems.pop(row.method, []),
                    "scores": {name: score._asdict() for name, score in row.scores.items()},
                    "by_seed": {name: list(values) for name, values in row.by_seed.items()},
                    "matched": {name: score._asdict() for name, score in row.matched._asdict().items()}
                    | {"area": None},
                    "overrides": dict(row.overrides),
                    "tuning_trials": row.tuning_trials,
                    "probes": list(row.probes),
                    "cost": dict(row.cost),
                    "notes": list(row.notes),
                    "tests": [c for c in tests if row.method in (c["a"], c["b"])],
                }
            )
        found += [
            place | {"method": m, "seeds": [], "scores": {}, "problems": why} for m, why in sorted(problems.items())
        ]
    return found


# -- one table -------------------------------------------------------------------------------------------------------


def _section(table: Table, rules: Rules) -> str:
    lines = [f"## {title(table)}\n"]
    if table.rows:
        lines += [sentence(table, rules) + "\n", main_table(table, rules), "", paper_table(table, rules), ""]
    folded = [about(table), rules_line(table, rules), *remarks(table, rules)]
    lines += ["<details><summary>Data, rules, what the tests say</summary>\n"]
    lines += [*(f"- {line}" for line in folded if line), "\n</details>"]
    reasons: dict[str, list[str]] = {}
    for cell, reason in table.left_out:
        short_of = NOT_REACHED if reason.startswith(NOT_REACHED) else reason
        reasons.setdefault(short_of, []).append(f"{cell.method}: seed {cell.seed}")
    lines += [f"\nLeft out, {reason} ({', '.join(cells)})." for reason, cells in reasons.items()]
    for heading, names in table.details.items():
        shown = [name for name in names if any(_valued(row, name) for row in table.rows)]
        if shown:
            lines += [_folded(f"{heading} ({table.task})", _detail(table.rows, shown))]
    if len(table.seeds) > 1 and any(c.metric == HEADLINE for c in table.comparisons):
        lines += [_folded(f"Tests of the headline ({table.task})", _tests(table))]
    if table.variants:
        lines += [_folded(f"Variants, METHOD@PARAM=VALUE ({table.task})", _variants(table))]
    return "\n".join(lines) + "\n"


def _folded(heading: str, text: str) -> str:
    return f"\n<details><summary>{heading}</summary>\n\n{text}\n\n</details>"


def main_table(table: Table, rules: Rules) -> str:
    """The verdict: headline, its two parts, what tells from retrain, cost. Columns without a value are left out."""
    columns: dict[str, dict[str, str]] = {
        "": {row.method: "apart" if row.apart else row.letters for row in table.rows},
        "headline": _column(table.rows, HEADLINE),
        "erased": _column(table.rows, ERASED),
        "kept": _column(table.rows, KEPT),
        "KS distance": _told(table, KS_DISTANCE, rules, signed=False),
        "membership - retrain's": _told(table, MEMBERSHIP_GAP, rules, signed=True),
        "retain p at retrain's level": {row.method: short("", row.matched.at_retrain) for row in table.rows},
        "utility at retrain's level": _at_the_match(table),
        "s": {row.method: f"{v:.0f}" for row in table.rows if (v := row.cost.get("unlearn_seconds")) is not None},
        "seeds": {row.method: str(len(row.seeds)) for row in table.rows},
    }
    if table.band is not None and RETRAIN in columns["KS distance"]:
        columns["KS distance"][RETRAIN] += f" ({table.band.lo:.2f} to {table.band.hi:.2f})"
    if all(row.matched.at_retrain.value is None for row in table.rows):
        del columns["retain p at retrain's level"]
    return _markdown(
        table.rows, {head: of for head, of in columns.items() if any(v not in ("", "-") for v in of.values())}
    )


def _at_the_match(table: Table) -> dict[str, str]:
    """Utility kept by the models that `run --match utility` measured at retrain's level of forgetting."""
    at = {row.method.removesuffix("@matched"): row for row in table.variants if row.method.endswith("@matched")}
    said = {method: short("", row.scores[KEPT]) for method, row in at.items() if KEPT in row.scores}
    few = {
        m: f" (reached by {n} of {len(table.seeds)} seeds)" for m in said if (n := len(at[m].seeds)) < len(table.seeds)
    }
    never = {cell.method.removesuffix("@matched") for cell, why in table.left_out if why.startswith(NOT_REACHED)}
    return dict.fromkeys(never - said.keys(), NOT_REACHED) | {m: text + few.get(m, "") for m, text in said.items()}


def _told(table: Table, name: str, rules: Rules, signed: bool) -> dict[str, str]:
    """A column of what could tell a method from retrain, marked where a test does."""
    found = _column(table.rows, name, signed)
    return {m: f"\u2260 {said}" if is_told(table, m, name, rules) else said for m, said in found.items()}


def paper_table(table: Table, rules: Rules) -> str:
    """The numbers that papers report, each with its interval; bold is what nobody beats, where somebody is beaten."""
    columns = {}
    for role, name in table.headlines.items():
        said = _column(table.rows, name)
        metric = find(name)
        if metric is not None and is_p(metric):
            role, said[RETRAIN] = f"{role} (log10 p)", "itself"
        top = best(table, name, rules)
        columns[role] = {m: f"**{text}**" if m in top else text for m, text in said.items()}
    return _markdown(
        table.rows, {head: of for head, of in columns.items() if any(v not in ("-", "itself") for v in of.values())}
    )


def _detail(rows: Sequence[Row], names: Sequence[str]) -> str:
    return _markdown(rows, {name.replace("_", " "): _column(rows, name) for name in names})


def _variants(table: Table) -> str:
    """Scored like methods, compared with none."""
    names = [*([HEADLINE, ERASED, KEPT] if any(HEADLINE in row.scores for row in table.variants) else []),
             *table.headlines.values()]  # fmt: skip
    over = {row.method: ", ".join(map(str, row.seeds)) for row in table.variants}
    return _markdown(table.variants, {n.replace("_", " "): _column(table.variants, n) for n in names} | {"seeds": over})


def _tests(table: Table) -> str:
    """The verdict's comparisons, those of the headline, with corrected p."""
    lines = ["| a | b | a - b | p | p, corrected |", "|---" * 5 + "|"]
    for c in table.comparisons:
        if c.metric == HEADLINE:
            difference = f"{c.difference:+.2f} [{c.lo:+.2f}, {c.hi:+.2f}]"
            lines.append(f"| {c.a} | {c.b} | {difference} | {c.p:.2g} | {c.p_holm:.2g} |")
    return "\n".join(lines)


def _column(rows: Sequence[Row], name: str, signed: bool = False) -> dict[str, str]:
    return {row.method: short(name, row.scores.get(name, Score(None)), signed) for row in rows}


def _valued(row: Row, name: str) -> bool:
    return name in row.scores and row.scores[name].value is not None


def _markdown(rows: Sequence[Row], columns: dict[str, dict[str, str]]) -> str:
    heads = ["method", *columns]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        mark = " \u2020" if row.changed else ""
        name = f"*{row.method}*{mark}" if row.method in (TARGET, RETRAIN) else f"{row.method}{mark}"
        lines.append(f"| {name} | " + " | ".join(of.get(row.method, "-") for of in columns.values()) + " |")
    return "\n".join(lines)


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
