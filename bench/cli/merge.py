"""`bench merge`: several results directories made one."""

from __future__ import annotations

from pathlib import Path

import click

from bench.cli.options import Place
from bench.cli.results import say, write_leaderboard
from bench.errors import UsageError


@click.command()
@click.argument("into", type=Place())
@click.argument("others", metavar="OTHER [OTHER ...]", nargs=-1, required=True, type=Place())
@click.option("--dry-run", is_flag=True, help="Say what would be copied and what contradicts; copy nothing.")
def merge(into: Path, others: tuple[Path, ...], dry_run: bool) -> int:
    """Copy into the results directory INTO what each OTHER has more: cells, attacks, trials of tunings.

    What both have must be the same; where it is not, that is said and nothing is copied of that OTHER. Machines that
    share no disk are given different seeds: of one seed they would make models that differ.
    """
    from bench.store import merging

    if not into.is_dir():
        raise UsageError(f"{into} is no directory. Make it, or name the one that the others are to be copied into.")
    bad = False
    for other in others:
        if other.resolve() == into.resolve():
            raise UsageError(f"{other} is INTO itself. Name another one.")
        found = merging.compared(into, other)
        if found.contradictions:
            click.echo(merging.listed(found.contradictions))
            say(f"{other}: {len(found.contradictions)} contradictions with {into}; nothing of it was copied")
            bad = True
            continue
        if not dry_run:
            merging.carry_out(found, into, other)
        count = sum(map(len, found.tried.values()))
        say(
            f"{other}: {len(found.taken)} cells {'would be ' if dry_run else ''}copied, {found.same} the same in both, "
            f"attacks on {len(found.attacks)} more, {count} trials, {len(found.rows)} files of rows"
        )
    if dry_run:
        return int(bad)
    return max(write_leaderboard(into), int(bad))
