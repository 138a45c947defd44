"""What code makes the cells of this process: the commit, what differs from it, and a digest of the code itself.

Only code counts, since only code can change a number: whoever edits README makes cells that are as good as before, and
whoever tries a method that no commit holds makes cells that no commit can make again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.api import Method
from bench.keys import digest, source_files
from bench.registry import find, names

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("bench", "methods", "tasks", "pyproject.toml")
_CODE = (".py", ".toml", ".yaml")
_NAMED = 10


def provenance(
    root: Path = ROOT, own: Collection[str] | None = None, outside: Collection[tuple[str, Path]] = ()
) -> dict[str, Any]:
    """What a record says of the code that made it, whatever git knows of it.

    Args:
        own: the files of methods and tasks that the cell uses (`own_code`); others of theirs count for nothing. Without
            it all of them count.
        outside: modules of plugins that the cell uses, each with its file (`outside_code`).

    Returns:
        `commit`: "" where git does not keep this package. `dirty`: whether code differs from that commit. `changed`:
        the first of the files that do, untracked ones among them, relative to `root`. `code`: a digest of all code.
        `plugins`, where there are any: a digest of the file of each module; one that no commit holds is dirty too.
    """
    changed = [
        name for name in _changed(root) if own is None or name.startswith(("bench/", "pyproject")) or name in own
    ]
    changed += [f"{module} (plugin)" for module, path in outside if not _is_held(path)]
    return {
        "commit": _git(root, "rev-parse", "HEAD").strip() if _is_kept(root) else "",
        "dirty": bool(changed),
        "changed": changed[:_NAMED] + [f"and {len(changed) - _NAMED} more"] * (len(changed) > _NAMED),
        "code": code_digest(root),
        **({"plugins": {module: _file_digest(path) for module, path in outside}} if outside else {}),
    }


def own_code(method: Method, task: str) -> frozenset[str]:
    """The files of methods and tasks that a cell of that method and task is made by, relative to the root."""
    files = _sources(method, task).values()
    return frozenset(path.relative_to(ROOT).as_posix() for path in files if _is_ours(path))


def outside_code(method: Method, task: str) -> tuple[tuple[str, Path], ...]:
    """The modules of plugins that a cell of that method and task is made by, with their files."""
    return tuple(sorted((m, path) for m, path in _sources(method, task).items() if not _is_ours(path)))


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PLACES


def _sources(method: Method, task: str) -> dict[str, Path]:
    """The file of each module that a cell of that method and task is made by, wherever it lies."""
    plain = method.name.partition("@")[0]
    modules = [find("task", task).module]
    modules += [find("method", plain).module] if plain in names("method") else []
    parts = (("objective", method.objective), ("optimizer", method.optimizer), ("scope", method.scope))
    modules += [find(kind, name).module for kind, name in parts if name]
    return {name: path for module in modules for name, path in _files(module).items()}


@cache
def _files(module: str) -> dict[str, Path]:
    """Those of a part that has been imported; what it is edited to later made no cell of this process."""
    return source_files(module)


def code_digest(root: Path = ROOT) -> str:
    """Digest of every file of code by its place: the same code has the same, in a clone, a copy or a wheel."""
    return digest({name: _file_digest(root / name) for name in sorted(_code(root))})


def _file_digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _code(root: Path) -> Iterator[str]:
    for place in PLACES[:-1]:  # pyproject.toml is not where the package is installed
        for path in (root / place).rglob("*"):
            if path.suffix in _CODE and path.is_file():
                yield path.relative_to(root).as_posix()


def _changed(root: Path) -> list[str]:
    """Files of code that are not as the commit has them; files that git ignores count, for no commit holds them."""
    if not _is_kept(root):
        return []
    told = _git(root, "diff", "-z", "--name-only", "--relative", "HEAD", "--", *PLACES)
    told += _git(root, "ls-files", "-z", "--others", "--", *PLACES)
    return sorted({name for name in told.split("\0") if name.endswith(_CODE)})


def _is_kept(root: Path) -> bool:
    """Whether git keeps this very package, not only a folder around the one in which it is installed."""
    return bool(_git(root, "ls-files", "--", "bench/__init__.py"))


def _is_held(file: Path) -> bool:
    """Whether a commit holds this file as it is, or it came with an installed package."""
    if "site-packages" in file.parts or "dist-packages" in file.parts:
        return True
    kept = _git(file.parent, "ls-files", "--", file.name)
    return bool(kept) and not _git(file.parent, "status", "--porcelain", "--", file.name)


def _git(root: Path, *words: str) -> str:
    """What git says; "" where there is no git, or nothing that it knows."""
    try:
        run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout if run.returncode == 0 else ""
