"""Declarations that lie outside of this package: files that a command line names, and packages that are installed.

A file, or a folder of files, is named by `--plugin PATH` or in the environment variable `UNLEARNING_BENCH_PLUGINS`,
which processes that are started from here inherit; a file is imported under its own name, and may import what lies
beside it. An installed package names a module, or a package of modules, in one of the entry-point groups below. Either
is read before it is run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

VARIABLE = "UNLEARNING_BENCH_PLUGINS"
GROUPS = tuple(f"unlearning_bench.{kinds}" for kinds in ("methods", "tasks", "metrics", "probes"))
"""Entry-point groups. They mean the same, for what a module declares is read from it: one of them is enough."""


def use(places: Sequence[Path]) -> None:
    """Add files, or folders of files, to what this process, and processes started from it, read declarations from.

    Raises:
        UsageError: no such file or folder, no Python file, or a name that cannot be imported.
    """
    for place in places:
        if not (found := _files(place)):
            raise UsageError(f"--plugin {place}: no Python file is in that folder. Name one that has some.")
        for file in found:
            _refuse_odd(file)
    whole = dict.fromkeys([*os.environ.get(VARIABLE, "").split(os.pathsep), *(str(p.resolve()) for p in places)])
    os.environ[VARIABLE] = os.pathsep.join(filter(None, whole))


def files() -> list[Path]:
    """The files of `--plugin`, those of its folders one by one."""
    return _named(os.environ.get(VARIABLE, ""))


def sources() -> Mapping[str, Path]:
    """The modules of every plugin that may declare something, by name; files of `--plugin` first.

    Raises:
        UsageError: a plugin that is not there, or two files of one name.
    """
    return _sources(os.environ.get(VARIABLE, ""), tuple(sys.path))


def file_of(module: str) -> Path | None:
    """The file of a module that belongs to a plugin: its own, one beside it, one of its package; None for any other."""
    if module in sources():
        return sources()[module]
    top, *rest = module.split(".")
    if top == "bench" or top in sys.stdlib_module_names:
        return None
    folders = list(dict.fromkeys(path.parent for path in files()))
    folders += [_root(name, path) for name, path in sources().items() if name.split(".")[0] == top]
    places = (folder.joinpath(top, *rest) for folder in folders)
    return next((file for place in places for file in _module_files(place) if file.is_file()), None)


def make_importable(module: str) -> None:
    """Let a file of `--plugin`, and what lies beside it, be imported by name; what is installed goes first."""
    path = sources().get(module)
    if path in files() and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))


def refuse_another(module: str) -> None:
    """Raise `UsageError` where what was imported under the name of a plugin is another file."""
    expected, found = sources().get(module), getattr(sys.modules.get(module), "__file__", None)
    if expected and found and Path(found).resolve() != expected.resolve():
        raise UsageError(f"{expected}: another module is called '{module}' ({found}). Rename the file.")


@lru_cache(maxsize=8)
def _sources(named: str, folders: tuple[str, ...]) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for path in _named(named):
        _refuse_odd(path)
        if path.stem in found and not found[path.stem].samefile(path):
            raise UsageError(f"two plugins are called {path.name}: {found[path.stem]} and {path}. Rename one of them.")
        found.setdefault(path.stem, path)
    for entry in _entry_points(folders):
        found.update(_of_package(entry))
    return found


def _entry_points(folders: Sequence[str]) -> list[EntryPoint]:
    """The entry points of our groups. Parsing those of every package is slow; mostly none of them is ours."""
    written = (file for folder in folders for file in Path(folder).glob("*-info/entry_points.txt"))
    if not any(b"unlearning_bench." in file.read_bytes() for file in written):
        return []
    from importlib.metadata import entry_points

    return [*dict.fromkeys(entry for group in GROUPS for entry in entry_points(group=group))]


def _named(text: str) -> list[Path]:
    return [file for word in text.split(os.pathsep) if word for file in _files(Path(word))]


def _files(place: Path) -> list[Path]:
    """The files that a path stands for: those of a folder that do not begin with `_`."""
    return sorted(place.glob("[!_]*.py")) if place.is_dir() else [place]


def _refuse_odd(file: Path) -> None:
    if not file.is_file():
        raise UsageError(f"--plugin {file}: there is no such file or folder")
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise UsageError(f"--plugin {file}: it is imported by its name. Call it something like my_loss.py.")


def _of_package(entry: EntryPoint) -> Iterator[tuple[str, Path]]:
    """What an entry point names: a module, or each module of a package. Nothing of it is imported."""
    top, *rest = entry.module.split(".")
    spec = find_spec(top)
    place = Path(spec.origin).with_suffix("") if spec and spec.origin else None
    if place is not None and place.name == "__init__":
        place = place.parent
    file = next((f for f in _module_files(place.joinpath(*rest)) if f.is_file()), None) if place else None
    if file is None:
        who = f"package {entry.dist.name}" if entry.dist else "an installed package"
        raise UsageError(
            f"{who} says in its entry point {entry.group} that {entry.module} declares something, and there is no such "
            "module. Install it anew, or remove it."
        )
    yield entry.module, file
    if file.name == "__init__.py":
        yield from ((f"{entry.module}.{f.stem}", f) for f in sorted(file.parent.glob("*.py")) if f != file)


def _module_files(place: Path) -> tuple[Path, Path]:
    """Where the source of a module lies that is called so."""
    return place.with_name(f"{place.name}.py"), place / "__init__.py"


def _root(module: str, file: Path) -> Path:
    """The folder that holds the top-level package of a module."""
    return file.parents[module.count(".") + (file.name == "__init__.py")]
