"""`bench ablate`: a study of one method, or of one choice."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.cells import planned, run_open, seed_numbers
from bench.cli.options import CACHE, DATA, MODEL, RESULTS, SET, WORKERS, options
from bench.cli.results import say


@click.command()
@click.argument("study", type=click.Choice(["simu", "localisation"]))
@click.option("--task", "task_name", default="tofu:forget10", show_default=True)
@options(MODEL, DATA, SET, RESULTS, CACHE, WORKERS)
@click.option("--seeds", help="Comma list of whole numbers; by default the study's own: 0, or 0,1,2,3,4.")
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
    seeds: str | None,
    assignments: tuple[str, ...],
    results: Path,
    cache: Path,
    workers: int | None,
    level: float,
    output: Path | None,
) -> int:
    """simu: the SIMU paper's study, m, t, masks, scores, scopes; random neurons beside them, at matched forgetting.

    localisation: which weights. WAGLE, what it is compared with, and SIMU, at the same number of weights.
    """
    from bench.study import ablate as simu
    from bench.study import localisation

    of = {"simu": simu.STUDY, "localisation": localisation.STUDY}[study]
    seeds = seeds or of.seeds
    names = ",".join(of.methods(model, task_name))
    request, cells = planned(names, task_name, model, data, seeds, assignments, results, cache)
    from bench.run.grid import prepare_all
    from bench.store import files

    todo = [c for c in cells if c.state != "done"]
    say(f"{len(cells) - len(todo)} of {len(cells)} cells are done")
    if todo:
        run_open(request, cells, workers, fail_fast=False)
    seen = None
    if of.look is not None:  # finished cells need no model, but what is looked at are the targets
        if not prepare_all(request, [c.start for c in cells if c.start.stage == "full"], workers or 1, say):
            return 1
        seen = of.look(request, task_name, seed_numbers(seeds))
    found = {(c.cell.method, c.cell.seed): files.find(results, c.cell) for c in cells}
    records = {key: record for key, record in found.items() if record is not None and record.status == "ok"}
    text = of.report(records, level)
    folder = output or results / "ablate"
    slug = f"{study}-{task_name.replace(':', '-')}-{request.data}-{request.model_label.replace('/', '--')}"
    with files.atomically(folder / f"{slug}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    of.plot(records, level, seen, folder / f"{slug}.png")
    click.echo(text)
    say(f"wrote {folder / slug}.md and .png")
    return 0 if len(records) == len(found) else 1
