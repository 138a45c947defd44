"""The whole report: which pages there are, what each rests on, and which of them have to be made again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bench.board import about, charts, remembered, studies
from bench.board.items import questions
from bench.board.report import answers, attacks, cell, method, pair, places, start, study, task, tuning
from bench.board.report.pages import Folder, assets
from bench.compare import crossed
from bench.compare.analysis import Rules, Table
from bench.compare.crossed import Crossed, Run
from bench.compare.studies.study import Study
from bench.compare.tuning import tunings
from bench.errors import BenchError
from bench.keys import digest
from bench.reading import json_of
from bench.store import answers as stored
from bench.store.record import CONTROLS, Cell, Record

Progress = Callable[[int, int], None]
MANIFEST = "built.json"
"""What every part of the report rests on and which files are of it, so that only what changed is made again."""
POOLED = 4
"""Tables from which on they are made in several processes."""


class Built(NamedTuple):
    """What was done."""

    start: Path
    written: int  # files that are new or have changed
    removed: int  # files of an earlier report that this one has not


class Group(NamedTuple):
    """What the pages of one table rest on."""

    results: Path
    table: Table
    records: Mapping[Cell, Record]
    rules: Rules
    data: str
    methods: tuple[str, ...]  # of the whole report, so that a method looks alike on all of its pages


def write(
    results: Path,
    records: Mapping[Cell, Record],
    tables: Sequence[Table],
    rules: Rules,
    folder: Path,
    data: str = "",
    problems: Sequence[str] = (),
    progress: Progress = lambda *_: None,
    found: Sequence[Study] = (),
) -> Built:
    """Write the report of analysed tables; other files in the folder are left alone.

    Args:
        data: where questions of other than the embedded world's cells are read from: a directory or "hub".
        problems: files that hold no record that can be used.
        progress: called with how many of how many tables are done.
        found: the studies that steps among the tables make.

    Raises:
        BenchError: the folder cannot be written.
    """
    before = _manifest(folder)
    out = Folder(folder)
    assets(out)
    by_place: dict[tuple[str, str, str], dict[Cell, Record]] = {}
    for each, record in records.items():
        by_place.setdefault((each.data, each.model, each.task), {})[each] = record
    tuned = tunings(results)
    of_tables = {row.method for table in tables for row in table.rows}
    known = tuple(sorted(of_tables | {of.method for one in tuned for of in one.methods}))
    groups = [Group(results, t, by_place[t.data, t.model, t.task], rules, data, known) for t in tables]
    _refuse_shared(tables)
    rests_on = {places.task_page(g.table): _rests_on(g) for g in groups}
    kept = {page for page, on in rests_on.items() if before.get(page, {}).get("rests on") == on
            and all((folder / made).is_file() for made in before[page]["files"])}  # fmt: skip
    parts = {page: {"rests on": rests_on[page], "files": before[page]["files"]} for page in kept}
    todo = [group for group in groups if places.task_page(group.table) not in kept]
    for done, (page, made) in enumerate(_pages(todo, folder), 1):
        out.changed += made.changed
        parts[page] = {"rests on": rests_on[page], "files": made.made}
        progress(done, len(todo))
    for one in tuned:
        tuning.write(out, one, known)
    for each_study in found:
        study.write(out, each_study, tables, rules, known)
    alone = [table for table in tables if studies.of(table, found) is None]
    start.write(out, results, alone, rules, problems, known, tuning.listed(tuned), study.listed(found, rules))
    by_method: dict[str, dict[Cell, Record]] = {}
    for each, record in records.items():
        by_method.setdefault(each.method.partition("@")[0], {})[each] = record
    for name in (of.method for one in tuned for of in one.methods):
        by_method.setdefault(name, {})
    for name, own in sorted(by_method.items()):
        plain = {c: r for c, r in own.items() if c.method == name} or own
        told = tuning.of_method(tuned, name, known), attacks.of_method(tables, rules, name)
        method.write(out, name, tables, plain, known, *told)
    parts[""] = {"rests on": "", "files": out.made}
    now = {made for part in parts.values() for made in part["files"]}
    gone = [made for part in before.values() for made in part["files"] if made not in now]
    for made in gone:
        out.remove(made)
    out.put(MANIFEST, json.dumps(parts, indent=0, sort_keys=True))
    return Built(folder / places.START, len(out.changed) - (MANIFEST in out.changed), len(gone))


def _refuse_shared(tables: Sequence[Table]) -> None:
    """Raise `BenchError` where the pages of two tables would lie in one place: "a-b" with "c" and "a" with "b-c"."""
    taken: dict[str, Table] = {}
    for table in tables:
        other = taken.setdefault(places.table_slug(table), table)
        if other is not table:
            one, two = (f"{t.task} of {t.model} on {t.data}" for t in (other, table))
            raise BenchError(f"the report cannot hold both {one} and {two}: their pages would have one name. Make two.")


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json_of((folder / MANIFEST).read_bytes())
        return {page: {"rests on": part["rests on"], "files": [str(PurePosixPath(f)) for f in part["files"]]}
                for page, part in found.items()}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _rests_on(group: Group) -> str:
    """A digest of all that the pages of a table show."""
    cells = [(str(c), r.created, dict(r.keys), r.status, r.error, _stamp(stored.path(group.results, c)))
             for c, r in sorted(group.records.items())]  # fmt: skip
    return digest([_code(), repr(group.table), repr(group.rules), group.data, group.methods, cells])


def _stamp(path: Path) -> list[int]:
    try:
        known = path.stat()
    except OSError:
        return []
    return [known.st_size, known.st_mtime_ns]


@cache
def _code() -> str:
    """A digest of what makes pages: another version of it makes them all again."""
    room = Path(__file__).resolve().parent.parent
    paths = sorted(p for p in room.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return digest([[str(p.relative_to(room)), p.read_text(encoding="utf-8")] for p in paths])


# -- the pages of tables ---------------------------------------------------------------------------------------------


def _pages(groups: Sequence[Group], folder: Path) -> Iterator[tuple[str, Folder]]:
    """The pages of each table, written, in several processes where it pays."""
    cores = os.cpu_count() or 1
    if len(groups) < POOLED or cores == 1:
        yield from ((places.task_page(group.table), of_table(group, folder)) for group in groups)
        return
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        jobs = {places.task_page(group.table): pool.submit(of_table, group, folder) for group in groups}
        yield from ((page, job.result()) for page, job in jobs.items())


def of_table(group: Group, folder: Path) -> Folder:
    """Write the pages of a table: the task's, its cells' with their items, its pairs'."""
    out, table, records = Folder(folder), group.table, group.records
    well = {c: r for c, r in records.items() if r.status == "ok"}
    values = crossed.load(group.results, well, crossed.one_model(well)).crossed
    marks = {seed: remembered.remembered(values, table, seed) for seed in {run.seed for run in values.values}}
    ran = {run.method for run in values.values}
    shares = {method: remembered.shares(values, table, method, marks) for method in ran}
    drawn = [*charts.of_table(table, records, values, group.methods), charts.remembered(table, shares, group.methods)]
    task.write(out, table, group.rules, drawn, group.methods)
    said = {c: stored.said(group.results, r) for c, r in well.items()}
    some = next((of for of in said.values() if of), None)
    asked = questions(table.task, table.data, group.data)
    texts = answers.texts(values, asked, some)
    out.put(f"texts/{texts.digest}.js", texts.script)
    items: dict[int, dict[str, str]] = {}  # by seed and method, where they lie
    for each in sorted(records):
        if Run(each.method, each.seed) in values.values:
            items.setdefault(each.seed, {})[each.method] = places.cell_data(table, each)
    for each in sorted(records):
        others = dict(items.get(each.seed, {}))
        own = others.pop(each.method, None)
        data = {}
        if own is not None:
            run = Run(each.method, each.seed)
            out.put(own, answers.cell(values, run, texts, said[each], marks[each.seed]))
            data = {"cell": own, "texts": f"texts/{texts.digest}.js"}
            data |= {name: others[name] for name in CONTROLS if name in others}
        controls = (records.get(each._replace(method=name)) for name in CONTROLS)
        drawn = charts.of_cell(records[each], [record for record in controls if record], group.methods)
        if own is not None:
            drawn.insert(0, charts.remembered_by_author(each.method, shares[each.method]))
        cell.write(out, table, records, each, drawn, data, others)
    _pairs(out, group, values, texts)
    return out


def _pairs(out: Folder, group: Group, values: Crossed, texts: answers.Texts) -> None:
    """The page on which two methods of the table are compared, and its data."""
    table, page = group.table, places.pair_page(group.table)
    root = places.up(page)
    cells = {run: root + places.cell_data(table, Cell(table.task, run.method, table.model, table.data, run.seed))
             for run in values.values}  # fmt: skip
    data = page.removesuffix("html") + "js"
    out.put(data, pair.script(values, table, group.rules, texts, cells, f"{root}texts/{texts.digest}.js"))
    out.render(page, "pair.html.j2", table=table, kind=about.kind(table), seeds=about.seeds(table.seeds),
               data=Path(data).name)  # fmt: skip
