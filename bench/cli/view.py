"""`bench view`: the report in a browser, following a run."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import click

from bench.cli.cells import writable
from bench.cli.options import RULES, Place, options
from bench.cli.results import say
from bench.errors import BenchError, UsageError


@click.command()
@click.argument("place", metavar="[RESULTS]", required=False, type=Place())
@click.option("--results", type=Place(), help="The same as RESULTS.  [default: results]")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Or the next free one.")
@click.option("--no-browser", is_flag=True, help="Open no browser; the address is said.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the pages are written; by default RESULTS/page.")
@click.option("--data", default="", help="A directory or hub; the questions of real data are read there.")
@options(*RULES)
def view(
    place: Path | None,
    results: Path | None,
    port: int,
    no_browser: bool,
    folder: Path | None,
    data: str,
    **rules: Any,
) -> int:
    """Build the report of RESULTS, show it in a browser on this machine, and follow a run: cells appear as they
    finish, curves as they train. Ctrl-C ends it."""
    import webbrowser

    from bench.board import serve

    if place is not None and results is not None:
        raise UsageError(f"RESULTS is given twice: {place} and --results {results}. Leave one out")
    results = place or results or Path("results")
    if not results.is_dir():
        raise BenchError(f"{results} is no directory. Run: python -m bench run --results {results}")
    folder = folder or results / "page"
    writable("--folder", folder)
    follower = serve.Follower(results, folder, _builder(data, rules), say)
    server = serve.bound(port, folder, follower.state)
    if port not in (0, server.server_port):
        say(f"port {port} is taken: {server.server_port} is used")
    say(f"building the report of {results} in {folder} ...")
    follower.look()
    if follower.error and not (folder / "index.html").is_file():
        server.server_close()
        return 1
    if not any(results.glob("*/*/*/*.json")):
        say(f"{results} has no cell yet. Run, in another terminal: python -m bench run --results {results}")
    say(f"following {results} on {server.url} (Ctrl-C ends)")
    if not no_browser and _has_screen():
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    serve.serve(server, follower)
    say("the server has stopped")
    return 0


def _builder(data: str, rules: dict[str, Any]) -> Any:
    """Builds the report of a results directory into a folder; files that are left out are said once."""
    from bench.board import report
    from bench.compare.analysis import Rules, analyse
    from bench.compare.studies.found import studies
    from bench.store import files

    by, said = Rules(**rules), set[str]()

    def build(results: Path, folder: Path) -> None:
        problems: list[str] = []
        records = files.records(results, problems.append)
        for problem in problems:
            if problem not in said:
                say(f"left out: {problem}")
        said.update(problems)
        tables, found = analyse(results, records, by), studies(results, records)
        report.write(results, records, tables, by, folder, data, problems=problems, found=found)

    return build


def _has_screen() -> bool:
    """Whether a browser would open a window, not take over the terminal."""
    if sys.platform in ("win32", "darwin") or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
