"""`leaderboard.md`: a pure function of the analysed tables. What it says is defined in `docs/statistics.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from bench.api import NEIGHBOURS
from bench.board import columns, reported, robustness, studies
from bench.board.about import about, kind, title
from bench.board.columns import Column
from bench.board.sweeps import swept, with_plain
from bench.board.verdict import left_out, remarks, rules_line, sentence
from bench.compare.analysis import HEADLINE, Row, Rules, Table, across_tasks
from bench.compare.studies.study import Study
from bench.store.record import RETRAIN, TARGET

_HOW_TO_READ = """\
**How to read this.** Each table begins with what it shows, in one sentence. *Erased* says how far a method went from
the untouched target (0) to a model that never saw the forget set (1), *kept* how much of the target's utility is left,
the *headline* is their harmonic mean: ruin is 0, doing nothing is 0, and *retrain*'s row is what another retrain model
scores, the ceiling. *KS distance* and *membership - retrain's* ask whether a ranked method can still be told from
retrain: a \u2260 says that a corrected test can; without it nothing is shown. In brackets both ends of 95% intervals.
Methods that share a letter are not shown to differ. What the words mean: docs/statistics.md, docs/metrics.md.
"""


def render(tables: Sequence[Table], rules: Rules, problems: Sequence[str] = (), found: Sequence[Study] = ()) -> str:
    """The text of `leaderboard.md`.

    Args:
        problems: files that hold no record that can be used.
        found: the studies that steps among the tables make; each has its steps below it, folded.
    """
    alone = [table for table in tables if studies.of(table, found) is None]
    heads = [*map(title, alone), *map(studies.title, found)]
    parts = [
        "# Leaderboard\n",
        "Written by `python -m bench leaderboard` from the records of its results; do not edit.\n",
        _HOW_TO_READ,
        "\n".join([*(f"- [{head}](#{_anchor(head)})" for head in heads), ""]),
        *(_section(table, rules) for table in alone),
        *(_study(study, [t for t in tables if studies.of(t, found) is study], rules) for study in found),
        _across(tables, rules),
        "\n".join(["## Left out of every table\n", *(f"- {problem}" for problem in problems), ""]) if problems else "",
        _reported(),
    ]
    return "\n".join(part for part in parts if part)


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def rows(tables: Iterable[Table], found: Sequence[Study] = ()) -> list[dict[str, Any]]:
    """One plain object a row of the board and a variant; cells that were left out are named in `problems`.

    `rank` is null where nothing is ranked. Rows of a step of a study have its figures of their method as `study`.
    `matched.area` is null: it paid for ruin and is no longer computed.
    """
    made = []
    for table in tables:
        study = studies.of(table, found)
        tests = [c._asdict() for c in table.comparisons]
        problems: dict[str, list[str]] = {}
        for cell, reason in table.left_out:
            problems.setdefault(cell.method, []).append(f"seed {cell.seed} {reason}")
        place: dict[str, Any] = {"task": table.task, "model": table.model, "data": table.data}
        for row in (*table.rows, *table.variants):
            made.append(
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
                    "origin": row.origin,
                    "probes": list(row.probes),
                    "cost": dict(row.cost),
                    "notes": list(row.notes),
                    "tests": [c for c in tests if row.method in (c["a"], c["b"])],
                    "attacks": [robustness.plain(of) for of in table.attacks if of.method == row.method],
                    **({"study": studies.plain(study, row.method)} if study else {}),
                }
            )
        made += [
            place | {"method": m, "seeds": [], "scores": {}, "problems": why} for m, why in sorted(problems.items())
        ]
    return made


# -- one table -------------------------------------------------------------------------------------------------------


def _section(table: Table, rules: Rules) -> str:
    lines = [f"## {title(table)}\n"]
    if table.rows:
        lines += [sentence(table, rules) + "\n"]
        lines += [_markdown(table.rows, columns.verdict(table, rules)), ""]
        lines += [_markdown(table.rows, columns.paper(table, rules)), ""]
    folded = [about(table), rules_line(table, rules), *remarks(table, rules)]
    lines += ["<details><summary>Data, rules, what the tests say</summary>\n"]
    lines += [*(f"- {line}" for line in folded if line), "\n</details>"]
    reasons = {why: [f"{cell.method}: seed {cell.seed}" for cell in of] for why, of in left_out(table).items()}
    lines += [f"\nLeft out, {reason} ({', '.join(cells)})." for reason, cells in reasons.items()]
    lines += _details(table, table.details)
    if len(table.seeds) > 1 and any(c.metric == HEADLINE for c in table.comparisons):
        lines += [_folded(f"Tests of the headline ({table.task})", _tests(table))]
    if table.attacks:
        lines += [_folded(f"{robustness.HEAD} Attacks ({table.task})", robustness.markdown(table, rules))]
    if table.variants:
        found = with_plain(table)
        lines += [
            _folded(f"Variants, METHOD@PARAM=VALUE ({table.task})", _markdown(found, columns.variants(table, found)))
        ]
    for one in swept(table):
        points = _markdown([row for _, row in one.points], columns.sweep(table, one))
        lines += [_folded(f"Sweep of {one.parameter}: {one.method} ({table.task})", points)]
    return "\n".join(lines) + "\n"


def _study(study: Study, steps: Sequence[Table], rules: Rules) -> str:
    """A study, and folded the verdict on each of its steps."""
    parts = [f"## {studies.title(study)}\n", studies.markdown(study, rules)]
    for table in steps:
        said = [sentence(table, rules), _markdown(table.rows, columns.verdict(table, rules)),
                _markdown(table.rows, columns.paper(table, rules))]  # fmt: skip
        said += _details(table, [heading for heading, names in table.details.items() if {*names} & {*NEIGHBOURS}])
        parts.append(_folded(title(table), "\n\n".join(said)))
    return "\n".join(parts) + "\n"


def _details(table: Table, headings: Iterable[str]) -> list[str]:
    """Folded tables of scores, those that some method has."""
    shown = {h: [name for name in table.details[h] if any(_valued(row, name) for row in table.rows)] for h in headings}
    return [
        _folded(f"{heading} ({table.task})", _markdown(table.rows, columns.details(table.rows, names)))
        for heading, names in shown.items()
        if names
    ]


def _folded(heading: str, text: str) -> str:
    return f"\n<details><summary>{heading}</summary>\n\n{text}\n\n</details>"


def _tests(table: Table) -> str:
    """The verdict's comparisons, those of the headline, with corrected p."""
    lines = ["| a | b | a - b | p | p, corrected |", "|---" * 5 + "|"]
    for c in table.comparisons:
        if c.metric == HEADLINE:
            difference = f"{c.difference:+.2f} [{c.lo:+.2f}, {c.hi:+.2f}]"
            lines.append(f"| {c.a} | {c.b} | {difference} | {c.p:.2g} | {c.p_holm:.2g} |")
    return "\n".join(lines)


def _valued(row: Row, name: str) -> bool:
    return name in row.scores and row.scores[name].value is not None


def _markdown(rows: Sequence[Row], shown: Sequence[Column]) -> str:
    heads = ["method", *(column.head for column in shown)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        mark = " \u2020" if row.changed else ""
        name = f"*{row.method}*{mark}" if row.method in (TARGET, RETRAIN) else f"{row.method}{mark}"
        lines.append(f"| {name} | " + " | ".join(_said(column, row.method) for column in shown) + " |")
    return "\n".join(lines)


def _said(column: Column, method: str) -> str:
    text = column.texts.get(method, "-")
    return f"**{text}**" if method in column.top else text


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
