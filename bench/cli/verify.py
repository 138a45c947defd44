"""`bench verify`: cells made once more from their records, and whether their scores hold."""

from __future__ import annotations

import math
from pathlib import Path

import click

from bench.cli.cells import worker_count
from bench.cli.checkpoints import Models, models
from bench.cli.options import RESULTS, RETRAIN, TARGET, WORKERS, options
from bench.cli.results import fitting, read_records, say
from bench.errors import UsageError


@click.command()
@click.argument("cells", metavar="[CELL ...]", nargs=-1)
@options(RESULTS)
@click.option(
    "--cache", type=click.Path(path_type=Path),
    help="Take models from there that are there already. By default everything is made anew, bases included.",
)  # fmt: skip
@click.option("--within", default=0.0, show_default=True, type=click.FloatRange(0), help="What a score may differ by.")
@click.option("--model", default="", help="The checkpoint that the cells start from, where a record only has its name.")
@options(TARGET, RETRAIN, WORKERS)
@click.option("--data", default="", help="The directory of their data, where a record only says that it was one.")
def verify(
    cells: tuple[str, ...], results: Path, cache: Path | None, within: float, model: str, target: str,
    retrain: tuple[str, ...], workers: int | None, data: str,
) -> int:  # fmt: skip
    """Make CELLs of RESULTS once more as their records say, and compare every score and interval with the record's.

    CELL is named as in `show`, or in part; without one every cell is repeated. Nothing in RESULTS changes. Exit status
    1 if a score differs by more than --within, or a cell could not be repeated.
    """
    records, _ = read_records(results)
    named = dict.fromkeys(cell for words in cells for cell in fitting(records, words, results)) or records
    if not named:
        raise UsageError(f"{results} has no cell to repeat. Run some: python -m bench run --results {results}")
    import tempfile

    from bench.cli.cells import data_source
    from bench.run.plan import Request
    from bench.run.verifying import otherwise
    from bench.run.verifying import verify as repeat

    well = True
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        for count, cell in enumerate(named, 1):
            record = records[cell]
            made_of = models(model, target, retrain, [cell.task]) if model or target or retrain else Models("", {})
            request = Request(
                made_of.model, data and data_source(data), Path(folder) / "results", cache or Path(folder) / "cache",
                precision=record.identity.get("precision", "float32"), retrains=made_of.retrains,
            )  # fmt: skip
            verdict, again = repeat(request, record, worker_count(workers, len(named)), say)
            holds = verdict.worst <= within
            well &= holds
            if math.isnan(verdict.worst):
                said = f"not repeated: {verdict.why}"
            elif not verdict.worst:
                said = f"holds exactly: {len(record.scores)} scores and their intervals"
            else:
                said = f"{'holds' if holds else 'differs'}: by {verdict.worst:.2g} at most, in {verdict.where}"
                said += f" ({verdict.why})" if verdict.why else ""
            if again is not None and verdict.worst and (other := otherwise(record, again)):
                said += "; then and now: " + ", ".join(f"{name} {a} and {b}" for name, (a, b) in other.items())
            click.echo(f"[{count}/{len(named)}] {cell}: {said}")
    return int(not well)
