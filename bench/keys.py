"""Content keys: the same ingredients give the same key, and nothing else does."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import plugins
from bench.moved import former
from bench.registry import ROOMS


def digest(ingredients: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of `ingredients`, which must be plain JSON values."""
    text = json.dumps(ingredients, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_hash(rows: Iterable[Any]) -> str:
    """Digest of a set of named tuples or dataclasses of plain values; their order does not matter."""
    return digest(sorted(json.dumps(_plain(row), ensure_ascii=False) for row in rows))


def _plain(row: Any) -> Any:
    return [getattr(row, name) for name in row.__dataclass_fields__] if hasattr(row, "__dataclass_fields__") else row


def stream(*names: object) -> np.random.Generator:
    """The random stream of that name; nothing in this project draws from a global generator."""
    seed = hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8]
    return np.random.default_rng(int.from_bytes(seed, "big"))


@cache
def source_hash(module: str) -> str:
    """Digest of the code of a declared part: its file and what that imports from the rooms of declarations.

    Of a part of a plugin: its file and what that imports from its own package, or from beside it.

    Comments, docstrings, the family of a method and what a tuning searches do not count: explaining a method better, or
    searching elsewhere, makes no result stale.
    """
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in source_files(module).items()}
    return digest({name: ast.dump(_imports_as_they_were(_without_words(tree))) for name, tree in trees.items()})


def source_files(module: str) -> dict[str, Path]:
    """The file of a declared part and those that it imports from where declarations are, by module."""
    seen: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        path = None if name in seen else _file(name)
        if path is not None:
            seen[name] = path
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            todo += _imports(ast.parse(path.read_text(encoding="utf-8")), package)
    return seen


def _file(module: str) -> Path | None:
    """The file of a module of the rooms of declarations, or of a plugin; None for any other."""
    for room, folder in ROOMS.items():
        if module.startswith(f"{room}."):
            path = folder.joinpath(*module.removeprefix(f"{room}.").split("."))
            return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)
    return plugins.file_of(module)


def _imports(tree: ast.Module, package: str) -> Iterable[str]:
    """What a source in `package` imports, by name; each could be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join(filter(None, [*above, node.module]))
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _imports_as_they_were(tree: ast.Module) -> ast.Module:
    """The tree with what it imports from this package named by where that once was, sorted as ruff sorts."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        ours = [n for n in body if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("bench.")]
        if not ours:
            continue
        grouped: dict[str, list[ast.alias]] = {}
        for imported in ours:
            for alias in imported.names:
                grouped.setdefault(former(str(imported.module), alias.name), []).append(alias)
        rebuilt = [
            ast.ImportFrom(module, sorted(grouped[module], key=lambda a: (_case(a.name), a.name)), 0)
            for module in sorted(grouped)
        ]
        first = body.index(ours[0])
        node.body = [*body[:first], *rebuilt, *(n for n in body[first:] if n not in ours)]  # type: ignore[attr-defined]
    return tree


def _case(name: str) -> int:
    """Constants stand before classes, classes before all else."""
    return 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2


_WORDLESS = {"method": "family", "transform": "family", "param": "search"}
"""What is called in a declaration, and the argument of it that no result rests on."""


def _without_words(tree: ast.Module) -> ast.Module:
    """The tree without docstrings, without the family that a method's declaration names, without what is searched."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _WORDLESS:
            left_out = _WORDLESS[node.func.id]
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != left_out]
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
    return tree
