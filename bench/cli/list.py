"""`bench list`: what there is."""

from __future__ import annotations

import ast
from pathlib import Path

import click

from bench import registry
from bench.errors import UsageError

KINDS = ("methods", "tasks", "metrics", "probes", "attacks", "models", "objectives", "optimizers", "scopes")
WIDEST = 60
"""Characters of names beyond which what they are stands below them."""


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option(
    "--docs", is_flag=True, help="Of methods: write what each of them is, from its docstrings and parameters."
)
@click.option("--output", type=click.Path(path_type=Path), help="Where --docs writes; by default docs/methods.md.")
@click.option("--check", is_flag=True, help="With --docs: write nothing; exit 1 if the file is out of date.")
def list_names(kind: str | None, docs: bool, output: Path | None, check: bool) -> int:
    """What there is: a name and what it is, a line each. Without KIND, how many there are of each kind."""
    if docs and kind == "methods":
        return _catalogue(output or Path("docs/methods.md"), check)
    if docs or output or check:
        raise UsageError("--docs is of methods: write python -m bench list methods --docs")
    if kind is None:
        lines = {each: f"{len(_named(each)):3}  python -m bench list {each}" for each in KINDS}
    else:
        lines = _merged(_named(kind))
    if kind == "attacks":
        lines = _columns(lines)
    headings = _headings() if kind == "methods" else {}
    width = max((len(named) for named in lines if len(named) <= WIDEST), default=WIDEST)
    for named, doc in lines.items():
        if named in headings:
            click.echo(headings[named])
        if len(named) > width:
            click.echo(named)
        click.echo(f"{named if len(named) <= width else '':{width}}  {doc}")
    return 0


def _catalogue(path: Path, check: bool) -> int:
    """Write the page of all methods, or say whether it is as it should be."""
    from bench.board.catalogue import page
    from bench.cli.results import complain, say
    from bench.store.files import atomically

    text = page()
    if not check:
        with atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        return complain(f"{path} is out of date. Run: python -m bench list methods --docs", 1)
    say(f"{path} is up to date" if check else f"wrote {path}: {len(registry.names('method'))} methods")
    return 0


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
        from bench.metrics._asked import ASKED_FOR

        docs |= {name: registry.find("metric", metrics[0]).doc for name, metrics in ASKED_FOR.items()}
    return docs


def _columns(docs: dict[str, str]) -> dict[str, str]:
    """What each attack says of itself before its doc: when it is run, what it needs, what it injects."""
    rows = {"# name": ("run with", "needs", "injects", "what is done")}
    for name, doc in docs.items():
        told = _constants(registry.find("attack", name))
        with_ = "its name" if told.get("asked_only") else "light, all" if told.get("light") else "all"
        rows[name] = with_, str(told.get("needs", "")), str(told.get("injects", "")), doc
    widths = [max(map(len, column)) for column in zip(*rows.values(), strict=True)]
    return {name: "  ".join(map(str.ljust, row, widths)).rstrip() for name, row in rows.items()}


def _constants(declared: registry.Declaration) -> dict[str, object]:
    """The literal values that the class of a declaration gives its attributes, read without importing it."""
    found: dict[str, object] = {}
    for node in ast.walk(ast.parse(declared.path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and declared.line in {each.lineno for each in node.decorator_list}:
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant):
                    found[ast.unparse(line.target)] = line.value.value
    return found


def _merged(docs: dict[str, str]) -> dict[str, str]:
    """Names that are one thing on one line; the steps of a series by its name, which stands for them."""
    alike: dict[str, dict[str, None]] = {}
    for name, doc in docs.items():
        series, _, _ = name.rpartition(":")
        alike.setdefault(doc, {})[series if ":" in series and series not in docs else name] = None
    return {", ".join(names): doc for doc, names in alike.items()}
