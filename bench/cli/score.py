"""`bench score`: other people's logs, cells as others compute them, or results scored anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import RESULTS, options
from bench.cli.results import fitting, read_records, say, write_leaderboard
from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from bench.api import Score
    from bench.metrics._compat import Compat


@click.command()
@click.argument("what", required=False, metavar="[LOG or CELL]")
@click.option("--reference", type=click.Path(path_type=Path), help="The retrain model's log, for forget quality.")
@click.option("--compat", default="", help="Published behaviour to reproduce: tofu, tofu-training or open-unlearning.")
@click.option("--all", "everything", is_flag=True, help="Every score, not only the headline ones and the forget set's.")
@click.option(
    "--json", "as_json", is_flag=True, help="Every score as {name: {value, lo, hi, n, note}}; by cell of cells."
)
@options(RESULTS)
def score(
    what: str | None, reference: Path | None, compat: Compat, everything: bool, as_json: bool, results: Path
) -> int:
    """Score other people's LOG or a CELL and print it, or score all of RESULTS anew. None of it needs torch.

    \b
    score LOG                       TOFU's aggregated log, or open-unlearning's TOFU_EVAL.json
    score CELL                      own cells, named as in `show`; nothing is stored
    score [CELL] --compat NAME      own cells as NAME computes them, to stand beside published ones; nothing is stored
    score                           all of RESULTS again, from the rows that were measured; stored
    """
    if what is not None and _is_log(what):
        from bench.score.foreign import TASK, score_log

        scores = score_log(what, reference, compat)
        if as_json:
            click.echo(json.dumps(_plain(scores), indent=1))
        else:
            _print(scores, TASK, everything)
        return 0
    if reference is not None:
        raise UsageError("--reference goes with a LOG. Name one, or leave it out.")
    if what is not None or compat:
        return _score_cells(results, what, compat, everything, as_json)
    if as_json or everything:
        raise UsageError("--json and --all go with a LOG, a CELL or --compat. Name one, or leave them out.")
    from bench.run.rescore import rescore

    done = rescore(results, lambda problem: say(f"left out: {problem}"))
    say(f"{done.whole} cells scored from their rows, {done.compact} from their item tables")
    if done.broken:
        say(f"{done.broken} cells or files of rows could not be used")
    return max(write_leaderboard(results), int(bool(done.broken)))


def _is_log(what: str) -> bool:
    """A file, or what is called like one; anything else names cells."""
    return Path(what).is_file() or what.endswith(".json")


def _score_cells(results: Path, what: str | None, compat: Compat, everything: bool, as_json: bool) -> int:
    from bench.run.rescore import scored_as
    from bench.score.scoring import refuse_unknown
    from bench.store.record import ELSEWHERE, RETRAIN

    refuse_unknown(compat)
    records, problems = read_records(results)
    cells = list(records) if what is None else fitting(records, what, results)
    if what is None:
        cells = [cell for cell in cells if cell.data != ELSEWHERE]
    found = {}
    for cell in cells:
        if records[cell].status != "ok":
            say(f"left out: {cell} {records[cell].status}")
            continue
        try:
            found[cell] = scored_as(results, records[cell], records.get(cell._replace(method=RETRAIN)), compat)
        except BenchError as error:
            problems.append(str(error))
            say(f"left out: {error}")
    if as_json:
        click.echo(json.dumps({str(cell): _plain(scores) for cell, scores in found.items()}, indent=1))
    for cell, scores in found.items() if not as_json else ():
        click.echo(f"{cell}{f', as {compat} computes it' if compat else ''}")
        _print(scores, cell.task, everything, whole=True)
    return int(bool(problems))


def _plain(scores: Mapping[str, Score]) -> dict[str, dict[str, object]]:
    return {name: score._asdict() for name, score in scores.items()}


def _print(scores: Mapping[str, Score], task: str, everything: bool, whole: bool = False) -> None:
    """The scores in lines: those to look at first unless all are asked for, and how many more there are."""
    from bench.board.show import chief, score_lines

    shown = scores if everything else chief(scores, task, whole)
    click.echo("\n".join(score_lines(shown)))
    more = [score for name, score in scores.items() if name not in shown]
    if valued := sum(score.value is not None for score in more):
        empty = f", and {len(more) - valued} without a value" if len(more) > valued else ""
        say(f"{valued} more scores{empty}: add --all")
    elif more:
        say(f"{len(more)} more scores without a value: add --all")
