"""`bench list`: what there is."""

from __future__ import annotations

import click

from bench import registry


@click.command("list")
@click.argument(
    "kind", type=click.Choice(["methods", "tasks", "metrics", "models", "objectives", "optimizers", "scopes"])
)
def list_names(kind: str) -> None:
    """What there is: a name and what it is, a line each."""
    if kind == "models":
        from bench.model.recipes import SCRATCH

        found = {name: recipe.doc for name, recipe in SCRATCH.items()} | {"HUB_ID or DIR": "any causal language model"}
    else:
        found = {name: registry.find(kind[:-1], name).doc for name in registry.names(kind[:-1])}
    alike: dict[str, list[str]] = {}
    for name, doc in found.items():
        alike.setdefault(doc, []).append(name)
    lines = {", ".join(names): doc for doc, names in alike.items()}
    width = max(map(len, lines))
    for named, doc in lines.items():
        click.echo(f"{named:{width}}  {doc}")
