"""`bench list`: what there is."""

from __future__ import annotations

import click

from bench import registry
from bench.metrics._asked import ASKED_FOR

KINDS = ("methods", "tasks", "metrics", "probes", "models", "objectives", "optimizers", "scopes")


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
def list_names(kind: str | None) -> None:
    """What there is: a name and what it is, a line each. Without KIND, how many there are of each kind."""
    if kind is None:
        lines = {each: f"{len(_named(each)):3}  python -m bench list {each}" for each in KINDS}
    else:
        lines = _merged(_named(kind))
    headings = _headings() if kind == "methods" else {}
    width = max(map(len, lines))
    for named, doc in lines.items():
        if named in headings:
            click.echo(headings[named])
        click.echo(f"{named:{width}}  {doc}")


def _headings() -> dict[str, str]:
    """What is said before the first method of each family."""
    return {
        members[0]: f"# {family}: {registry.FAMILIES[family]}"
        if family in registry.FAMILIES
        else f"# {family or 'other'}"
        for family, members in registry.families().items()
    }


def _named(kind: str) -> dict[str, str]:
    """Names of a kind and what each is, read without importing what declares them."""
    if kind == "models":
        from bench.model.pairs import KNOWN
        from bench.model.recipes import SCRATCH

        docs = {name: recipe.doc for name, recipe in SCRATCH.items()} | {n: pair.doc for n, pair in KNOWN.items()}
        return docs | {"HUB_ID or DIR": "any causal language model"}
    names = registry.names(kind[:-1])
    if kind == "methods":
        names = [name for members in registry.families().values() for name in members]
    docs = {name: registry.find(kind[:-1], name).doc for name in names}
    if kind == "probes":
        docs |= {name: registry.find("metric", metric).doc for name, (metric, *_) in ASKED_FOR.items()}
    return docs


def _merged(docs: dict[str, str]) -> dict[str, str]:
    """Names that are one thing on one line."""
    alike: dict[str, list[str]] = {}
    for name, doc in docs.items():
        alike.setdefault(doc, []).append(name)
    return {", ".join(names): doc for doc, names in alike.items()}
