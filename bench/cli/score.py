"""`bench score`: other people's logs, or results scored anew."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bench.cli.options import RESULTS, options
from bench.cli.results import say, write_leaderboard
from bench.errors import UsageError


@click.command()
@click.argument("log", required=False, type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), help="The retrain model's log, for forget quality.")
@click.option("--compat", default="", help="Published behaviour to reproduce: tofu or open-unlearning.")
@click.option("--json", "as_json", is_flag=True, help="Print {name: {value, lo, hi, n}} instead of a table.")
@options(RESULTS)
def score(log: Path | None, reference: Path | None, compat: str, as_json: bool, results: Path) -> int:
    """Score other people's LOG (TOFU's aggregated log, open-unlearning's TOFU_EVAL.json), or RESULTS anew.

    Without LOG, every score of RESULTS is computed again from the rows that were measured. Neither needs torch.
    """
    if log is None:
        from bench.run.rescore import rescore

        if reference is not None or compat or as_json:
            raise UsageError("--reference, --compat and --json go with a LOG. Name one, or leave them out.")
        done = rescore(results, lambda problem: say(f"left out: {problem}"))
        say(f"{done.whole} cells scored from their rows, {done.compact} from their item tables")
        if done.broken:
            say(f"{done.broken} cells or files of rows could not be used")
        return max(write_leaderboard(results), int(bool(done.broken)))
    from bench.board.show import score_lines
    from bench.score.foreign import score_log

    scores = score_log(log, reference, compat)  # type: ignore[arg-type]
    if as_json:
        fields = ("value", "lo", "hi", "n")
        click.echo(json.dumps({name: {f: getattr(s, f) for f in fields} for name, s in scores.items()}, indent=1))
    else:
        click.echo("\n".join(score_lines(scores)))
    return 0
