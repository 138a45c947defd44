"""What code makes the cells of this process: the commit, what differs from it, and a digest of the code itself.

Only code counts, since only code can change a number: whoever edits README makes cells that are as good as before, and
whoever tries a method that no commit holds makes cells that no commit can make again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator
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


def provenance(root: Path = ROOT, own: Collection[str] | None = None) -> dict[str, Any]:
    """What a record says of the code that made it, whatever git knows of it.

    Args:
        own: the files of methods and tasks that the cell uses (`own_code`); others of theirs count for nothing. Without
            it all of them count.

    Returns:
        `commit`: "" where git does not keep this package. `dirty`: whether code differs from that commit. `changed`:
        the first of the files that do, untracked ones among them, relative to `root`. `code`: a digest of all code.
    """
    changed = [
        name for name in _changed(root) if own is None or name.startswith(("bench/", "pyproject")) or name in own
    ]
    return {
        "commit": _git(root, "rev-parse", "HEAD").strip() if _is_kept(root) else "",
        "dirty": bool(changed),
        "changed": changed[:_NAMED] + [f"and {len(changed) - _NAMED} more"] * (len(changed) > _NAMED),
        "code": code_digest(root),
    }


def own_code(method: Method, task: str) -> frozenset[str]:
    """The files of methods and tasks that a cell of that method and task is made by, relative to the root."""
    plain = method.name.partition("@")[0]
    modules = [find("task", task).module]
    modules += [find("method", plain).module] if plain in names("method") else []
    parts = (("objective", method.objective), ("optimizer", method.optimizer), ("scope", method.scope))
    modules += [find(kind, name).module for kind, name in parts if name]
    files = {path for module in modules for path in source_files(module).values()}
    return frozenset(path.relative_to(ROOT).as_posix() for path in files if path.is_relative_to(ROOT))


def code_digest(root: Path = ROOT) -> str:
    """Digest of every file of code by its place: the same code has the same, in a clone, a copy or a wheel."""
    return digest({name: sha256((root / name).read_bytes()).hexdigest() for name in sorted(_code(root))})


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


def _git(root: Path, *words: str) -> str:
    """What git says; "" where there is no git, or nothing that it knows."""
    try:
        run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return run.stdout if run.returncode == 0 else ""
