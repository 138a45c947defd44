"""The least page around answers and pairs: what the site puts around them, without the site."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.board.items import questions
from bench.board.remembered import remembered
from bench.board.report import answers, pair
from bench.board.report.pages import Folder, assets
from bench.compare import crossed
from bench.compare.analysis import Rules, Table
from bench.store import answers as stored
from bench.store.record import Cell, Record

POLICY = (
    "default-src 'none'; img-src 'self' data: blob:; style-src 'self' file: 'unsafe-inline'; "
    "script-src 'self' file: blob:; connect-src 'self'"
)
COLOURS = """
:root { --ink: #1a1d21; --paper: #fff; --soft: #5c6670; --line: #dde1e6; --panel: #f6f7f9; --accent: #0b61a4;
        --good: #00735c; --bad: #b04500; --mark: #d3ecc9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #14171a; --soft: #9aa4ae; --line: #30363d; --panel: #1c2126; --accent: #6cb6f5;
          --good: #4cc9a6; --bad: #f0955c; --mark: #26492f; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
       max-width: 1340px; padding: 1rem; }
"""


def document(body: str, scripts: str, up: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>shell</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{COLOURS}</style>'
        f'<link rel="stylesheet" href="{up}/answers.css"></head><body><main>{body}</main>'
        + "".join(f'<script src="{up}/{name}"></script>' for name in scripts.split())
        + "</body></html>"
    )


def build(
    folder: Path,
    results: Path,
    records: Mapping[Cell, Record],
    table: Table,
    said: Callable[[Path, Record], stored.Said | None] = stored.said,
) -> dict[str, str]:
    """cell/<n>.html of every cell of a table, pair.html, and their scripts; the page of each METHOD/SEED."""
    cells = [cell for cell in records if (cell.task, cell.model, cell.data) == (table.task, table.model, table.data)]
    held = crossed.load(results, cells).crossed
    place = {crossed.Run(cell.method, cell.seed): (cell, f"{n}.js") for n, cell in enumerate(sorted(cells))}
    spoken = {run: said(results, records[cell]) for run, (cell, _) in place.items()}
    known = next((one for one in spoken.values() if one), None)
    asked = questions(table.task, table.data, "")
    texts = answers.texts(held, asked, known)
    for name in ("cell", "texts", "assets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    assets(Folder(folder))
    (folder / "texts" / f"{texts.digest}.js").write_text(texts.script, "utf-8")
    for run in held.values:
        name = place[run][1]
        marks = remembered(held, table, run.seed)
        (folder / "cell" / name).write_text(answers.cell(held, run, texts, spoken[run], marks), "ascii")
        others = {m: place[r][1] for r in held.values if (m := r.method) != run.method and r.seed == run.seed}
        data = {
            "cell": name, "texts": f"../texts/{texts.digest}.js", "method": run.method,
            **{c: place[r][1] for c in ("target", "retrain") if (r := crossed.Run(c, run.seed)) in held.values},
            "others": json.dumps(others),
        }  # fmt: skip
        attributes = " ".join(f'data-{key}="{html.escape(value)}"' for key, value in data.items())
        body = f'<section id="answers" {attributes}><h2>Answers</h2></section>'
        (folder / "cell" / f"{name.removesuffix('.js')}.html").write_text(
            document(body, "words.js answers.js", "../assets")
        )
    where = {run: f"cell/{place[run][1]}" for run in held.values}
    script = pair.script(held, table, Rules(), texts, where, f"texts/{texts.digest}.js")
    (folder / "pair.js").write_text(script, "ascii")
    body = '<h1>Two methods compared</h1><section id="pair" data-pair="pair.js"></section>'
    (folder / "pair.html").write_text(document(body, "vega.js draw.js words.js answers.js pair.js", "assets"))
    return {f"{run.method}/{run.seed}": f"cell/{name.removesuffix('.js')}.html" for run, (_, name) in place.items()}
