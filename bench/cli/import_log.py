"""`bench import`: other people's logs beside our own."""

from __future__ import annotations

from pathlib import Path

import click

from bench import registry
from bench.cli.options import RESULTS, options
from bench.cli.results import say, write_leaderboard


@click.command("import")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), help="The retrain model's log, for forget quality.")
@click.option("--task", "task_name", required=True, help="The task that it is a run of, such as tofu:forget10.")
@click.option("--method", "method_name", required=True, help="What the table shall call it.")
@click.option("--of", "model_name", required=True, help="The model that was evaluated, such as llama2-7b.")
@click.option("--seed", default=0, show_default=True)
@options(RESULTS)
def import_log(
    log: Path, reference: Path | None, task_name: str, method_name: str, model_name: str, seed: int, results: Path
) -> int:
    """File other people's LOG in RESULTS, marked as measured elsewhere, to stand beside your own runs."""
    from bench.run.importing import import_log as file_log

    registry.find("task", task_name)
    record = file_log(log, reference, task=task_name, method=method_name, model=model_name, seed=seed, results=results)
    say(f"filed as {record.cell}")
    for note in record.notes:
        say(f"note: {note}")
    return write_leaderboard(results, [record.cell])
