"""`bench new`: a file of one's own that runs, before a line of it is changed."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from string import Template

import click

from bench import registry
from bench.errors import UsageError

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
METHODS = {
    "loss": "a loss, for the loop of gradient steps",
    "hidden": "a loss of hidden states",
    "transform": "a function from a model to a model, without a loop",
    "inference": "a gate before a model that stays as it is",
}
"""The kinds of methods, each a template of its own, and what they are."""
ROOM_OF = {
    "method": "methods",
    "task": "tasks",
    "metric": "bench.metrics",
    "probe": "bench.metrics",
    "attack": "bench.attacks",
}
NEXT = {
    "method": "run --methods {} --tasks tofu:forget10",
    "task": "run --methods fo-npo --tasks {}",
    "metric": "run --methods fo-npo --tasks tofu:forget10",
    "probe": "run --methods fo-npo --tasks tofu:forget10 --probes {}",
    "attack": "run --methods fo-npo --tasks tofu:forget10 --attacks {}",
}


@click.command()
@click.argument("kind", type=click.Choice([*ROOM_OF]))
@click.argument("name")
@click.option(
    "--kind", "how", default="loss", show_default=True, type=click.Choice([*METHODS]),
    help="Of a method: " + "; ".join(f"{name}, {doc}" for name, doc in METHODS.items()) + ".",
)  # fmt: skip
@click.option(
    "--to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.py",
    help="Where to write it; by default among those of this checkout. Elsewhere it is used with --plugin FILE.py.",
)  # fmt: skip
def new(kind: str, name: str, how: str, to: Path | None) -> int:
    """Write a method, task, metric, probe or attack that runs and passes `check`, to be changed into your own.

    Nothing is overwritten. NAME is what commands and the board will call it.
    """
    words = _words(name)
    if kind != "method" and how != "loss":
        raise UsageError(f"--kind {how} is of methods: write python -m bench new method {name} --kind {how}")
    if stands_for := registry.standing_for(kind, name):
        raise UsageError(f"'{name}' stands for {', '.join(stands_for)} already. Choose another name.")
    room = registry.ROOMS[ROOM_OF[kind]]
    place = to or (room if _is_checkout() else Path()) / f"{'_'.join(words)}.py"
    files = _written(kind if kind != "method" else how, name, words, place)
    refuse_taken(files)
    for file in files:
        if file.exists():
            raise UsageError(f"{_short(file)} is there already. Choose another name, or another place: --to FILE.py")
    if not place.absolute().parent.parent.is_dir() or place.suffix != ".py" or not place.stem.isidentifier():
        raise UsageError(f"--to {place}: name a Python file such as my_loss.py, in a folder that is there or can be")
    outside = f" --plugin {_short(place)}" if place.resolve().parent not in registry.ROOMS.values() else ""
    if outside and _is_module(place.stem):
        raise UsageError(f"--to {place}: another module is called '{place.stem}'. Choose another file: --to FILE.py")
    try:
        place.parent.mkdir(exist_ok=True)
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
            click.echo(f"wrote {_short(file)}")
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror}. Choose another place: --to FILE.py") from error
    click.echo("Now, and after every change:")
    for command in (f"check {name}", NEXT[kind].format(name)):
        click.echo(f"  python -m bench {command}{outside}")
    return 0


def refuse_taken(files: Mapping[Path, str]) -> None:
    """Raise `UsageError` where something that the files would declare has its name already, with the place."""
    known = registry.scan()
    for file, text in files.items():
        for made in registry.declared_by(text, file.stem, file) if file.suffix == ".py" else ():
            if found := known.get((made.kind, made.name)):
                raise UsageError(
                    f"there is {_a(made.kind)} '{made.name}' already: {_short(found.path)}:{found.line}. "
                    "Choose another name."
                )


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'ao' else 'a'} {kind}"


def _is_module(name: str) -> bool:
    """Whether `import NAME` finds something before a plugin of that name."""
    return name in sys.stdlib_module_names or find_spec(name) is not None


def _words(name: str) -> list[str]:
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name):
        raise UsageError(f"'{name}' is no name: small letters, digits and single hyphens, such as my-loss")
    if name == "all":
        raise UsageError("'all' means everything. Choose another name.")
    return re.split("[-_]", name)


def _written(template: str, name: str, words: list[str], place: Path) -> dict[Path, str]:
    """Every file of a template, filled in."""
    values = {
        "name": name,
        "title": " ".join(words),
        "cls": "".join(word.capitalize() for word in words),
        "column": "_".join(words),
        "metric": "_".join([*words, "rouge"]),
        "file": place.stem,
        "year": datetime.now(UTC).year,
    }
    made = {place.with_suffix(found.suffixes[0]): found for found in sorted(TEMPLATES.glob(f"{template}.*.txt"))}
    return {file: Template(found.read_text(encoding="utf-8")).substitute(values) for file, found in made.items()}


def _is_checkout() -> bool:
    """Whether this package is worked on, rather than installed."""
    return (TEMPLATES.parent.parent / "pyproject.toml").is_file()


def _short(path: Path) -> str:
    """A path as it is typed from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
