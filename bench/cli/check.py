"""`bench check`: whether one part keeps its contract, in seconds."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import click

from bench import plugins
from bench.errors import UsageError


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def check(names: tuple[str, ...]) -> int:
    """Ask a method, objective, optimizer, scope, task, metric, probe or attack everything that a run asks of it.

    Methods and attacks are tried on a model of two layers, tasks and probes on the embedded world: seconds, and nothing
    is written. Without NAME, everything that the files of --plugin declare. Exit status 1 if a demand is not met.
    """
    import torch

    from bench.conformance.checking import declared_in, kinds_of

    torch.set_num_threads(1)
    files = plugins.files()
    if not names and not files:
        raise UsageError("check what? Name a method, task, metric ...: python -m bench check fo-npo")
    chosen = [(kind, name) for name in names for kind in kinds_of(name)]
    chosen += [] if names else [found for file in files for found in declared_in(file)]
    return int(sum([_told(kind, name) for kind, name in chosen]) > 0)


def _told(kind: str, name: str) -> int:
    """Say of each demand whether it is met; returns how many are not."""
    from tempfile import TemporaryDirectory

    from bench.conformance.checking import check as asked

    click.echo(f"{kind} {name}")
    bad = count = 0
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # settings that are too large for a toy are nobody's mistake
        for finding in asked(kind, name, Path(folder)):
            count += 1
            bad += bool(finding.reason)
            click.echo(f"  {'failed' if finding.reason else 'ok':6}  {finding.says}")
            if finding.reason:
                where = f"{_short(finding.at)}: " if finding.at else ""
                click.echo(f"          {where}{finding.reason}")
    click.echo(f"  {bad} of {count} demands not met" if bad else f"  all {count} demands met")
    return bad


def _short(place: str) -> str:
    """A path as it is typed from here."""
    here = f"{Path.cwd()}{os.sep}"
    return place.removeprefix(here)
