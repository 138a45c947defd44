"""What attacks ask of LUME's rows: in other words, among the answers of other documents, and after the document."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from bench.api import Asking, Family
from tasks._detours import WRONG, choice, wrapped
from tasks._lume_files import Row

Named = Callable[[int, Row], str]
"""The id of a row, which is the number so-and-so of its side."""


def families(forget: Sequence[Row], retain: Sequence[Row]) -> tuple[Family, ...]:
    """The families of a forget set of documents; what is kept goes by its place among what is taught."""
    sides = _asked(forget, lambda _, row: row.id), _asked(retain, lambda number, _: f"retain-{number}")
    forgotten, kept = ([asking for row, asking, _ in side if row.kind == "question"] for side in sides)
    listed, told = (
        tuple(tuple(made for of in side for made in make(*of)) for side in sides) for make in (_choice, _chain)
    )
    more = (Family("choice of four", "implied", *listed), Family("the document, then ask", "chain", *told))
    return (*wrapped(forgotten, kept), *(family for family in more if family.forget))


Asked = tuple[Row, Asking, Row | None]
"""A row, its question with false answers, and the row that completes its document."""


def _asked(rows: Sequence[Row], named: Named) -> list[Asked]:
    """Every row, with the answers to the same question about the documents that come next as false ones."""
    alike: dict[tuple[str, str], list[Row]] = defaultdict(list)
    whole = {row.document: row for row in reversed(rows) if row.kind == "completion"}
    for row in rows:
        alike[row.task, row.id[-3:]].append(row)
    found = []
    places: dict[tuple[str, str], int] = defaultdict(int)
    for number, row in enumerate(rows):
        kind = row.task, row.id[-3:]
        others = alike[kind]
        after = [others[(places[kind] + step) % len(others)].output for step in range(1, min(len(others), 4 * WRONG))]
        places[kind] += 1
        false = tuple(dict.fromkeys(said for said in after if said != row.output))[:WRONG]
        plain = Asking(named(number, row), row.document, (row.input,), row.output, false=false, raw=True)
        found.append((row, plain, whole.get(row.document)))
    return found


def _choice(row: Row, asking: Asking, _: Row | None) -> Iterator[Asking]:
    if row.kind == "question" and len(asking.false) == WRONG:
        yield choice(asking)


def _chain(row: Row, asking: Asking, document: Row | None) -> Iterator[Asking]:
    """First the document is completed, then asked about."""
    if row.kind == "question" and document:
        opening, question = (text.replace("{", "{{").replace("}", "}}") for text in (document.input, row.input))
        turns = document.input, f"{opening} {{0}}\n{question}"
        yield Asking(asking.id, asking.cluster, turns, asking.answer, (document.output,), asking.false, raw=True)
