"""The command line. Data goes to stdout, progress and errors to stderr; nothing heavy is imported before it is needed.

Exit status: 0 done, 1 something failed or diverged, 2 misuse, 130 interrupted.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from bench import plugins, registry
from bench.cli.ablate import ablate
from bench.cli.check import check
from bench.cli.compare import compare
from bench.cli.eval import evaluate
from bench.cli.export import export
from bench.cli.import_log import import_log
from bench.cli.leaderboard import leaderboard
from bench.cli.list import list_names
from bench.cli.neurons import neurons
from bench.cli.new import new
from bench.cli.prepare import prepare
from bench.cli.results import complain
from bench.cli.run import run
from bench.cli.score import score
from bench.cli.show import show
from bench.cli.tune import tune
from bench.cli.verify import verify
from bench.cli.view import view
from bench.errors import BenchError, UsageError
from bench.run.together import led


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        with _own_plugins():
            result = led(lambda: commands.main(arguments, prog_name="python -m bench", standalone_mode=False))
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return complain("interrupted. What is finished is kept; the same command goes on from there.", 130)
    except KeyboardInterrupt:
        return complain("interrupted. What is finished is kept; the same command goes on from there.", 130)
    except click.ClickException as error:
        error.show()
        return 2
    except BenchError as error:
        if os.environ.get("BENCH_TRACEBACK"):
            traceback.print_exc()
        return complain(str(error), 2 if isinstance(error, UsageError) else 1)


@contextmanager
def _own_plugins() -> Iterator[None]:
    """What `--plugin` names holds for one command, and for the processes that it starts."""
    before = os.environ.get(plugins.VARIABLE)
    try:
        yield
    finally:
        if os.environ.get(plugins.VARIABLE) != before:
            registry.scan.cache_clear()
            os.environ.pop(plugins.VARIABLE)
            os.environ.update({} if before is None else {plugins.VARIABLE: before})


def _plug(_: click.Context, __: click.Parameter, places: Sequence[Path]) -> None:
    if places:
        plugins.use(places)
        registry.scan.cache_clear()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Compare methods that make a language model forget.

    \b
    python -m bench run --methods all --tasks tofu      every method on TOFU's three splits, embedded world
    python -m bench leaderboard                         write leaderboard.md from results/
    python -m bench view                                results/ in a browser, following a run
    python -m bench list methods                        what there is
    """


for command in (
    run,
    prepare,
    evaluate,
    export,
    list_names,
    leaderboard,
    view,
    compare,
    show,
    neurons,
    ablate,
    tune,
    verify,
    score,
    import_log,
    new,
    check,
):
    commands.add_command(command)

for anywhere in (commands, *commands.commands.values()):
    anywhere.params.append(
        click.Option(
            ["--plugin"],
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="PATH",
            expose_value=False,
            is_eager=True,
            callback=_plug,
            help="A file, or a folder of files, with methods, tasks, metrics or probes; may be repeated.",
        )
    )
