"""`bench compare`: two methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.cli.options import RESULTS, RULES, options
from bench.cli.results import read_records


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--task", default="tofu:forget10", show_default=True)
@click.option("--metric", default="", help="By default every headline metric of the task.")
@click.option("--model", default="", help="Needed where several have both methods.")
@click.option("--data", default="", help="embedded, hub, files or elsewhere; needed where several have both methods.")
@options(RESULTS, *RULES)
def compare(a: str, b: str, task: str, metric: str, model: str, data: str, results: Path, **rules: Any) -> int:
    """What the paired tests say of methods A and B, and the items on which they differ most."""
    from bench.board.versus import versus
    from bench.compare.analysis import Rules
    from bench.model.recipes import model_label

    where = {"task": task, "model": model and model_label(model), "data": data}
    records, problems = read_records(results)
    click.echo(versus(results, records, a, b, where, metric, Rules(**rules)))
    return int(bool(problems))
