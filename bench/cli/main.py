"""The command line. Data goes to stdout, progress and errors to stderr; nothing heavy is imported before it is needed.

Exit status: 0 done, 1 something failed or diverged, 2 misuse, 130 interrupted.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import click

from bench import plugins, registry
from bench.cli.results import complain
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


PLACES = {
    "run": "run", "prepare": "prepare", "eval": "evaluate", "export": "export", "list": "list_names",
    "leaderboard": "leaderboard", "view": "view", "compare": "compare", "show": "show", "neurons": "neurons",
    "ablate": "ablate", "tune": "tune", "verify": "verify", "score": "score", "import": "import_log", "new": "new",
    "check": "check", "merge": "merge", "cache": "cache",
}  # fmt: skip
"""What a command is called, and the function that it is, in the file of that name (`import` in `import_log.py`)."""


class _Commands(click.Group):
    """Reads the file of a command when somebody asks for it: to import them all takes longer than most of them do."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PLACES:
            return None
        if cmd_name not in self.commands:
            file = "import_log" if cmd_name == "import" else cmd_name
            found: click.Command = getattr(import_module(f"bench.cli.{file}"), PLACES[cmd_name])
            found.params.append(_plugin())
            self.add_command(found)
        return self.commands[cmd_name]


def _plugin() -> click.Option:
    return click.Option(
        ["--plugin"],
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="PATH",
        expose_value=False,
        is_eager=True,
        callback=_plug,
        help="A file, or a folder of files, with methods, tasks, metrics or probes; may be repeated.",
    )


@click.group(
    cls=_Commands,
    params=[_plugin()],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
def commands() -> None:
    """Compare methods that make a language model forget.

    \b
    python -m bench run --methods all --tasks tofu      every method on TOFU's three splits, embedded world
    python -m bench leaderboard                         write leaderboard.md from results/
    python -m bench view                                results/ in a browser, following a run
    python -m bench list methods                        what there is
    """
