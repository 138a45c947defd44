"""`bench neurons`: what SIMU keeps."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bench.cli.cells import planned, seed_numbers
from bench.cli.options import CACHE, DATA, MODEL, SEEDS, WORKERS, options
from bench.cli.results import say


@click.command()
@click.option("--task", "task_name", default="tofu:forget10", show_default=True)
@options(MODEL, DATA, SEEDS, CACHE, WORKERS)
@click.option("-m", "m", default=5, show_default=True, type=click.IntRange(1), help="Steps of the attribution.")
@click.option("-t", "t", default=0.3, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Threshold.")
@click.option("--plot", "figure", type=click.Path(path_type=Path), help="Write the shares by layer as a figure.")
def neurons(
    task_name: str,
    model: str,
    data: str,
    seeds: str,
    cache: Path,
    workers: int | None,
    m: int,
    t: float,
    figure: Path | None,
) -> int:
    """How many neurons SIMU keeps in each layer, and how its masks overlap (dual, forget-only, scores, seeds)."""
    request, cells = planned("target", task_name, model, data, seeds, (), Path(os.devnull), cache)
    from bench.run.grid import prepare_all
    from bench.study.neurons import describe, find_masks, plot

    if not prepare_all(request, [c.start for c in cells if c.cell.method == "target"], workers or 1, say):
        return 1
    say("attributing the forget set to neurons ...")
    sizes, masks = find_masks(request, task_name, seed_numbers(seeds), m, t, lambda *_: None)
    click.echo(describe(sizes, masks))
    if figure is not None:
        plot(sizes, masks, figure)
        say(f"wrote {figure}")
    return 0
