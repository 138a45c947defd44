"""`bench export`: a cell's model as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.checkpoints import Models, models
from bench.cli.options import CACHE, RESULTS, RETRAIN, TARGET, options
from bench.cli.results import fitting, listed, read_records, say, shown_progress
from bench.errors import UsageError


@click.command()
@click.argument("cell")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@options(RESULTS, CACHE)
@click.option("--model", default="", help="The checkpoint that the cell starts from, if it must be made again.")
@options(TARGET, RETRAIN)
@click.option("--data", default="", help="The directory of its data, if it must be made again.")
def export(
    cell: str, folder: Path, results: Path, cache: Path, model: str, target: str, retrain: tuple[str, ...], data: str
) -> int:
    """Write the model of CELL into DIR, which must be new or empty, with a model card made from its record.

    CELL is named as in `show`. Its model comes from the cache; one that is not there (larger than 1 GiB, or the cache
    was cleared) is made again. Transformers 4.45 and newer read the folder.
    """
    from bench.store.files import refuse_taken, whole_folder
    from bench.store.record import CONTROLS

    refuse_taken(folder)
    records, _ = read_records(results)
    fits = fitting(records, cell, results)
    if len(fits) > 1:
        raise UsageError(f"'{cell}' fits {len(fits)} cells of {results}. {listed(fits)}")
    record = records[fits[0]]
    from importlib.metadata import version

    from bench.board.card import Written, card
    from bench.cli.cells import data_source, lies
    from bench.model.export import write
    from bench.run.plan import Request
    from bench.run.remade import remade

    made_of = models(model, target, retrain, [record.cell.task]) if model or target or retrain else Models("", {})
    precision = record.identity.get("precision", "float32")
    place, source = lies(results, cache), data and data_source(data)
    request = Request(made_of.model, source, **place, precision=precision, retrains=made_of.retrains)
    with shown_progress(f"{record.cell}") as done:
        lm, again = remade(request, record, lambda _, made, of: done(made, of), say)
    with whole_folder(folder) as written:
        caveats = write(lm, written)
        asked = str(lm.tokenizer.decode(lm.encode_prompt("QUESTION")))
        versions = {name: version(name) for name in ("transformers", "torch")}
        controls = {name: records[c] for name in CONTROLS if (c := record.cell._replace(method=name)) in records}
        (written / "README.md").write_text(
            card(record, controls, Written(versions, again, asked, caveats)), encoding="utf-8"
        )
    for caveat in caveats:
        say(caveat)
    size = sum(file.stat().st_size for file in folder.iterdir())
    click.echo(f"{record.cell}\n{'made again' if again else 'from the cache'}; {size / 1e6:.1f} MB in {folder}")
    for file in sorted(folder.iterdir()):
        click.echo(f"  {file.name:24} {file.stat().st_size:>12,}")
    return 0
