"""`bench cache`: what it holds and what can go."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import CACHE, Place, options
from bench.cli.results import say
from bench.errors import UsageError


@click.command()
@options(CACHE)
@click.option(
    "--results", multiple=True, default=("results",), show_default=True, type=Place(),
    help="Whose models are needed; may be repeated, once for each directory that uses this cache.",
)  # fmt: skip
@click.option("--prune", is_flag=True, help="Remove what no result needs.")
def cache(cache: Path, results: tuple[Path, ...], prune: bool) -> int:
    """What the cache holds by kind, and how much of it no result of RESULTS needs.

    All of it can be made again, in the time that it took.
    """
    from bench.run import cached
    from bench.run.refusal import size

    if not cache.is_dir():
        raise UsageError(f"--cache {cache}: no such directory. A run makes it; name one that is there.")
    found = cached.kept(cache)
    keys = cached.needed(results)
    left = cached.unneeded(found, keys)
    click.echo(f"{'':12}{'number':>8}{'size':>10}{'no result needs':>18}")
    for kind, what in cached.KINDS.items():
        of, out = ([each for each in some if each.kind == kind] for some in (found, left))
        if of:
            held, free = (size(sum(each.bytes for each in some)) for some in (of, out))
            click.echo(f"{kind:12}{len(of):>8}{held:>10}{f'{free} in {len(out)}':>18}  {what}")
    total, free = (size(sum(each.bytes for each in some)) for some in (found, left))
    click.echo(f"{'in all':12}{len(found):>8}{total:>10}{f'{free} in {len(left)}':>18}")
    if prune:
        for each in left:
            cached.remove(each)
        say(f"removed {len(left)}, {free}")
    elif left:
        say(f"{free} can go: python -m bench cache --prune")
    return 0
