"""What is committed under results/ is what the code of today would make: nobody's change makes it stale unseen."""

from __future__ import annotations

from pathlib import Path

from bench.run.plan import Planned, Request, plan
from bench.store import files
from bench.store.record import Cell, Record

RESULTS = Path(__file__).resolve().parents[2] / "results"


def planned(data: str, source: str) -> tuple[dict[Cell, Planned], dict[Cell, Record]]:
    """The committed records of that data, and what is planned today for the same cells."""
    records = {cell: r for cell, r in files.records(RESULTS, print).items() if cell.data == data}
    cells = {}
    for model, task in sorted({(cell.model, cell.task) for cell in records}):
        here = [cell for cell in records if (cell.model, cell.task) == (model, task)]
        methods, seeds = ({getattr(cell, what): None for cell in here} for what in ("method", "seed"))
        name, _, objective = model.partition("@")
        chosen = str(RESULTS / "tuning" / data / name / f"{objective}.toml") if objective else ""
        asked = Request(name, source, RESULTS, RESULTS / "none", settings=chosen)
        for found in plan(asked, [*methods], [task], [*seeds]):
            cells[found.cell] = found
    return {cell: cells[cell] for cell in records}, records


def check(data: str, source: str) -> None:
    cells, records = planned(data, source)
    assert cells
    for kind in ("train", "measure"):
        moved = {str(c): p.reason for c, p in cells.items() if p.keys[kind] != records[c].keys[kind]}
        assert not moved, f"the {kind} keys of committed cells changed, so they would be made anew: {moved}"
    open_ = {str(c): f"{p.state} {p.reason}" for c, p in cells.items() if p.state != "done"}
    assert not open_, f"score results/ again (python -m bench score): {open_}"


def test_every_embedded_cell_is_done():
    check("embedded", "embedded")


def test_every_cell_of_real_data_is_done(shared_data: Path):
    check("files", str(shared_data))
