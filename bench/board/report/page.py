"""The page itself: tables and figures put into the template, and its files written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bench.api import Score
from bench.board import reported
from bench.board.about import about, title
from bench.board.numbers import short
from bench.board.report.cells import SHOWN, as_script, describe
from bench.board.report.figures import Drawn, figures
from bench.board.verdict import remarks, rules_line, sentence
from bench.compare.analysis import HEADLINE, Row, Rules, Table, across_tasks
from bench.compare.headline import ERASED, KEPT
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP
from bench.stats.critical_difference import figure as critical_difference
from bench.store import files
from bench.store.record import CONTROLS, Cell, Record

Progress = Callable[[str, int, int], None]
VERDICT = (HEADLINE, ERASED, KEPT, KS_DISTANCE, MEMBERSHIP_GAP)


def write(
    results: Path,
    records: Mapping[Cell, Record],
    tables: Sequence[Table],
    rules: Rules,
    folder: Path,
    data: str = "",
    progress: Progress = lambda *_: None,
    problems: Sequence[str] = (),
) -> Path:
    """Write the report of analysed tables into `folder` and return its index.html; other files there are left alone.

    Args:
        problems: files that hold no record that can be used.
        data: where questions of other than the embedded world's cells are read from: a directory or "hub".
    """
    import matplotlib

    matplotlib.use("Agg")
    names = {cell: f"cell-{n:05d}" for n, cell in enumerate(sorted(records))}
    for place in ("assets", "figures", "cells"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    _copy_assets(folder / "assets")
    for n, (cell, slug) in enumerate(names.items()):
        progress("cells", n, len(names))
        _write(folder / "cells" / f"{slug}.js", as_script(slug, describe(results, records, cell, data)))
    sections = []
    for n, table in enumerate(tables):
        progress("figures", n, len(tables))
        drawn = [_save(one, folder, f"table-{n}-{i}") for i, one in enumerate(figures(results, records, table))]
        sections.append(_section(table, rules, names, drawn, f"table-{n}"))
    overall = []
    for n, ((world, model), ranking) in enumerate(across_tasks(tables, rules.alpha).items()):
        title = f"Across tasks: {world}, model {model}"
        if ranking.difference is None:
            overall.append(_save(Drawn(title, None, f"No critical difference: {ranking.note}."), folder, ""))
            continue
        said = "; ".join(f"{m} {r:.2f}" for m, r in zip(ranking.methods, ranking.ranks, strict=True))
        text = (
            f"Average ranks over {len(ranking.tasks)} tasks, 1 is best: {said}. Friedman p = {ranking.p:.3g}; methods "
            f"under one bar lie within the critical difference {ranking.difference:.2f} (Nemenyi)."
        )
        overall.append(_save(Drawn(title, critical_difference(ranking), text), folder, f"across-{n}"))
    text = _template().render(
        sections=sections, overall=overall, reported=reported.tables(), rules=rules, shown=SHOWN,
        left_out=[*((str(cell), why) for table in tables for cell, why in table.left_out),
                  *(("file", why) for why in problems)],
    )  # fmt: skip
    _write(folder / "index.html", text)
    return folder / "index.html"


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("bench.board.report"), autoescape=True, undefined=StrictUndefined)
    environment.filters["signed"] = lambda value: f"{value:+.3f}"
    return environment.get_template("index.html.j2")


def _section(
    table: Table, rules: Rules, names: Mapping[Cell, str], drawn: Sequence[Mapping[str, str]], slug: str
) -> dict[str, Any]:
    """What the template reads of a table: plain texts and numbers."""
    rows = [*table.rows, *table.variants]
    return {
        "slug": slug,
        "title": title(table),
        "about": about(table),
        "verdict": sentence(table, rules).strip("*"),
        "columns": [name.replace("_", " ") for name in VERDICT if _any(table, name)] + list(table.headlines),
        "rows": [_row(row, table, names) for row in rows],
        "comparisons": [c for c in table.comparisons if c.p_holm < 1],
        "compared": len(table.comparisons),
        "notes": [rules_line(table, rules), *remarks(table, rules)],
        "figures": drawn,
    }


def _row(row: Row, table: Table, names: Mapping[Cell, str]) -> dict[str, Any]:
    names_shown = [*(name for name in VERDICT if _any(table, name)), *table.headlines.values()]
    scores = [row.scores.get(name, Score(None)) for name in names_shown]
    cells = [Cell(table.task, row.method, table.model, table.data, seed) for seed in row.seeds]
    control = row.method in CONTROLS
    return {
        "method": row.method,
        "rank": "control"
        if control
        else "set apart"
        if row.apart
        else "variant"
        if "@" in row.method
        else row.letters or None,
        "apart": row.apart,
        "scores": [
            {"text": short(name, score, signed=name == MEMBERSHIP_GAP), "value": score.value, "note": score.note}
            for name, score in zip(names_shown, scores, strict=True)
        ],
        "at_retrain": row.matched.at_retrain,
        "seconds": row.cost.get("unlearn_seconds"),
        "memory": row.cost.get("peak_memory_mb"),
        "cells": [(cell.seed, names[cell]) for cell in cells if cell in names],
    }


def _any(table: Table, name: str) -> bool:
    return any(name in row.scores for row in table.rows)


def _save(drawn: Drawn, folder: Path, slug: str) -> dict[str, str]:
    """Write a figure beside the page; a picture in a file of its own can run nothing in it."""
    if drawn.figure is None:
        return {"title": drawn.title, "file": "", "text": drawn.text}
    import matplotlib

    with files.atomically(folder / "figures" / f"{slug}.svg") as temporary, matplotlib.rc_context(_STYLE):
        drawn.figure.savefig(temporary, format="svg", metadata={"Date": None})
    return {"title": drawn.title, "file": f"figures/{slug}.svg", "text": drawn.text}


_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif"}


def _copy_assets(folder: Path) -> None:
    """Our style and script, and itables' DataTables as text: a page that is read from a file may import no module."""
    for name in ("report.css", "report.js"):
        with resources.as_file(resources.files("bench.board.report") / "assets" / name) as own:
            shutil.copyfile(own, folder / name)
    bundle = resources.files("itables") / "html"
    _write(folder / "datatables.css", bundle.joinpath("dt_bundle.css").read_text("utf-8"))
    source = json.dumps(bundle.joinpath("dt_bundle.js").read_text("utf-8"))
    _write(folder / "datatables.js", f"window.datatablesSource = {source};\n")


def _write(path: Path, text: str) -> None:
    with files.atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
