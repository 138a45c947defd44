"""`bench ablate`: a study of one method."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.cells import planned, run_open, seed_numbers
from bench.cli.options import CACHE, DATA, MODEL, RESULTS, SEEDS, SET, WORKERS, options
from bench.cli.results import say


@click.command()
@click.argument("study", type=click.Choice(["simu"]))
@click.option("--task", "task_name", default="tofu:forget10", show_default=True)
@options(MODEL, DATA, SEEDS, SET, RESULTS, CACHE, WORKERS)
@click.option(
    "--level", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="Forget probability to match."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder of table and figure; by default RESULTS/ablate."
)
def ablate(
    study: str,
    task_name: str,
    model: str,
    data: str,
    seeds: str,
    assignments: tuple[str, ...],
    results: Path,
    cache: Path,
    workers: int | None,
    level: float,
    output: Path | None,
) -> int:
    """The SIMU paper's study: m, t, masks, scores, scopes; random neurons beside them, at matched forgetting."""
    from bench.study import ablate as paper

    names = ",".join(paper.methods())
    request, cells = planned(names, task_name, model, data, seeds, assignments, results, cache)
    from bench.run.grid import prepare_all
    from bench.store import files
    from bench.study.neurons import shares_by_threshold

    todo = [c for c in cells if c.state != "done"]
    say(f"{len(cells) - len(todo)} of {len(cells)} cells are done")
    if todo:
        run_open(request, cells, workers, fail_fast=False)
    # Finished cells need no model, but the shares of neurons are counted on the targets.
    if not prepare_all(request, [c.start for c in cells if c.start.stage == "full"], workers or 1, say):
        return 1
    found = {(c.cell.method, c.cell.seed): files.find(results, c.cell) for c in cells}
    records = {key: record for key, record in found.items() if record is not None and record.status == "ok"}
    shares = shares_by_threshold(request, task_name, seed_numbers(seeds), paper.THRESHOLDS, lambda *_: None)
    text = paper.report(records, level)
    folder = output or results / "ablate"
    slug = f"{study}-{task_name.replace(':', '-')}-{request.data}-{request.model_label.replace('/', '--')}"
    with files.atomically(folder / f"{slug}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    paper.plot(records, level, shares, folder / f"{slug}.png")
    click.echo(text)
    say(f"wrote {folder / slug}.md and .png")
    return 0 if len(records) == len(found) else 1
