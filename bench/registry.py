"""Names to things: what methods, tasks, metrics and attacks declare in their rooms, and plugins (`bench.plugins`).

Declarations are first read, not run: `scan` parses the files, so that listing, completing and refusing names costs no
import of torch. `load` imports the one file that declares a name. Declared names must therefore be literal strings.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bench import plugins
from bench.errors import BenchError, UsageError
from bench.names import unfit

KINDS = ("method", "objective", "optimizer", "scope", "task", "metric", "probe", "attachment", "attack")
_DECLARERS = {"transform": "method", **{kind: kind for kind in KINDS}}
_ROOT = Path(__file__).resolve().parent.parent
_DECLARING = ("methods", "tasks", "bench.metrics", "bench.attacks")
ROOMS: dict[str, Path] = {name: _ROOT / name.replace(".", "/") for name in _DECLARING}

FAMILIES: Mapping[str, str] = {
    "control": "what unlearning starts from, and what it should arrive at",
    "ascent": "the forget set is made improbable by climbing its loss",
    "preference": "the forget set's answers become the ones that are not preferred",
    "refusal": "another answer is taught in place of the forget set's",
    "distillation": "what is predicted on the forget set is drawn towards another distribution",
    "representation": "the hidden states of the forget set are driven elsewhere",
    "constrained": "forgetting and keeping are bounds that have to be met",
    "simu": "attention and the neurons that hold the forget set move, second order",
    "localisation": "only the weights that matter most to the forget set move",
    "arithmetic": "weights of whole models are added, subtracted and mixed",
    "inference": "the weights stay; what the model answers is changed as it answers",
}
"""What a method's `family` may be called, in the order of lists, and what its methods share. Others come after."""

MISSION = (
    "target",
    "retrain",
    *(f"{order}-{loss}" for loss in ("ga", "graddiff", "npo") for order in ("fo", "so")),
    "simu-graddiff",
    "simu-npo",
)
"""The ten methods that the showcase compares: what `mission` stands for."""
ASIDE = {"muse", "restor"}
"""Tasks whose data are not those of the others: not in `all`, asked for by name."""


class Declaration(NamedTuple):
    """Where a name is declared, read from the source without running it."""

    kind: str
    name: str
    module: str
    path: Path
    line: int
    doc: str
    parts: Mapping[str, str]  # the literal keyword arguments, such as a method's objective
    flags: frozenset[str]  # the keyword arguments that are literally True, such as a control's `control`

    @property
    def origin(self) -> str:
        return f"{self.path.name}:{self.line}"


_things: dict[tuple[str, str], Any] = {}


def register(kind: str, name: str, thing: Any) -> None:
    """Keep `thing` under (kind, name); called by the declarations of `bench.api` when their file is imported.

    Raises:
        UsageError: the name is taken by something declared elsewhere.
    """
    taken = _things.get((kind, name))
    if taken is not None and taken is not thing:
        raise UsageError(f"{kind} '{name}' is declared twice. Rename one of them.")
    _things[kind, name] = thing


@cache
def scan(kind: str = "") -> Mapping[tuple[str, str], Declaration]:
    """Every declaration of every room and plugin, by (kind, name); with `kind`, those of one, at less cost.

    Raises:
        UsageError: a file that does not parse, a name that is no literal, a name declared twice (both places named).
            With `kind`, nothing is noticed of files of the rooms that declare none of it.
    """
    found: dict[tuple[str, str], Declaration] = {}
    words = [word for word, declared in _DECLARERS.items() if kind in ("", declared)]
    called = re.compile(rf"(?:{'|'.join(words)})\s*\(" if kind else "")
    for module, path in _files(called):
        for declaration in _declarations(module, path, words):
            key = declaration.kind, declaration.name
            if key in found:
                raise UsageError(
                    f"{declaration.kind} '{declaration.name}' is declared twice: "
                    f"{found[key].path}:{found[key].line} and {path}:{declaration.line}. Rename one of them."
                )
            found[key] = declaration
    return found


def _files(called: re.Pattern[str]) -> Iterator[tuple[str, Path]]:
    """The files that may declare something, by module: those of the rooms that fit `called`, then every plugin."""
    for room, folder in ROOMS.items():
        files = (path for path in sorted(folder.glob("*.py")) if called.search(path.read_text("utf-8", "replace")))
        yield from ((f"{room}.{path.stem}", path) for path in files)
    within = {folder.resolve() for folder in ROOMS.values()}
    yield from ((module, path) for module, path in plugins.sources().items() if path.resolve().parent not in within)


def names(kind: str) -> list[str]:
    """All declared names of a kind, in file order."""
    return [name for _, name in scan(kind)]


def find(kind: str, name: str) -> Declaration:
    """The declaration of `name`.

    Raises:
        UsageError: there is none; the message suggests near names.
    """
    try:
        return scan(kind)[kind, name]
    except KeyError:
        raise unknown(kind, name, names(kind)) from None


def load(kind: str, name: str) -> Any:
    """Import the file that declares `name` and return what it declared.

    Raises:
        UsageError: no such name.
        BenchError: the file cannot be imported; the message names file, line and cause.
    """
    declaration = find(kind, name)
    plugins.make_importable(declaration.module)
    try:
        importlib.import_module(declaration.module)
        plugins.refuse_another(declaration.module)
    except BenchError:
        raise
    except Exception as error:
        line = next(
            (
                f.lineno
                for f in reversed(traceback.extract_tb(error.__traceback__))
                if f.filename == str(declaration.path)
            ),
            "?",
        )
        moved = _where_now(declaration.path, error) if isinstance(error, ImportError) else ""
        raise BenchError(
            f"{declaration.path}:{line} cannot be imported: {type(error).__name__}: {error}. {moved}"
            f"It declares {kind} '{name}'; mend the file or leave that name out."
        ) from error
    return _things[kind, name]


def select(kind: str, wanted: str) -> list[str]:
    """Expand a comma list of names and groups to names, each once, in the order asked for.

    A group is what stands before a `:` or the first `-` of a name: `tofu` for `tofu:forget01`, ...; `simu` for
    `simu-graddiff` and `simu-npo`; `scale:tofu` for `scale:tofu:20`, ... A family of methods is one too (`families`),
    and so is `mission`. `all` is every name but the parts of a whole that has a name of its own (`lume:task1` is a part
    of `lume`), the steps of a series, which are asked for by the series (`scale:tofu`), and what has data of its own
    (`ASIDE`), so that `all` can be run on each kind of data.

    Raises:
        UsageError: neither a name nor a group; the message suggests near ones.
    """
    known = names(kind)
    groups = _groups(kind, known)
    chosen: dict[str, None] = {}
    for word in filter(None, (w.strip() for w in wanted.split(","))):
        if word in known or (kind == "method" and ("+" in word or "@" in word)):
            chosen[word] = None
        elif word in groups:
            chosen.update(dict.fromkeys(groups[word]))
        else:
            raise unknown(kind, word, [*known, *sorted(groups)])
    if not chosen:
        raise UsageError(f"no {kind} named. Known: {', '.join(known)}")
    return list(chosen)


def declared_by(text: str, module: str, path: Path, words: Collection[str] = _DECLARERS.keys()) -> list[Declaration]:
    """What a file with this text declares by calling one of `words`.

    Raises:
        SyntaxError: it does not parse.
        UsageError: a name is no literal.
    """
    found: list[Declaration] = []
    for node in ast.parse(text, str(path)).body:
        calls = [d for d in getattr(node, "decorator_list", []) if isinstance(d, ast.Call)]
        if isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call):
            calls = [node.value]
        for call in calls:
            word = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if word in words:
                found += _declared(_DECLARERS[word], call, node, module, path)
    return found


def standing_for(kind: str, word: str) -> list[str]:
    """The names that a family or group stands for; none where the word is no group."""
    return _groups(kind, names(kind)).get(word, [])


def families() -> dict[str, list[str]]:
    """The declared methods by family: those of `FAMILIES` in that order, then others; "" is of methods that name none.

    No family is empty.
    """
    found: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for name in names("method"):
        found.setdefault(find("method", name).parts.get("family", ""), []).append(name)
    unnamed = found.pop("", [])
    return {family: members for family, members in {**found, "": unnamed}.items() if members}


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that nobody declared, with the nearest ones."""
    known = list(known)
    hint = near([name], known) or (f"Known: {', '.join(known)}." if known else "There is none.")
    return UsageError(f"no {kind} '{name}'. {hint}")


def near(names: Iterable[str], known: Sequence[str]) -> str:
    """`Did you mean ...?` for the first of the names to which known ones are near; "" for none."""
    import difflib

    found = (difflib.get_close_matches(name, known, n=3, cutoff=0.5) for name in names)
    close = next(filter(None, found), [])
    return f"Did you mean {' or '.join(map(repr, close))}?" if close else ""


def forget_imports() -> None:
    """Drop what was scanned and registered, so that changed files are read anew (tests)."""
    scan.cache_clear()
    _things.clear()
    outside = plugins.sources()
    for module in [m for m in sys.modules if m in outside or any(m.startswith(f"{room}.") for room in ROOMS)]:
        del sys.modules[module]


def _where_now(path: Path, error: ImportError) -> str:
    """What to write in place of an import from this package that failed; "" where nothing is known of it.

    Names are looked up in today's files, so no table of what moved has to be kept.
    """
    lost = error.name or ""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == lost]
    there = vars(sys.modules[lost]) if lost in sys.modules else {}
    names = {alias.name for node in froms for alias in node.names} - {*there} if lost.startswith("bench.") else set()
    home: dict[str, list[str]] = {}
    for name in sorted(names):
        homes = _homes(name)
        if homes and lost not in homes:
            home.setdefault(homes[0], []).append(name)
    lines = [f"from {module} import {', '.join(found)}" for module, found in home.items()]
    return f"In place of 'from {lost} import ...' write: {'; '.join(lines)}. " if lines else ""


def _homes(name: str) -> list[str]:
    """The modules of this package that define `name`, those that are nearest to its top first; or are called so."""
    found = []
    for path in sorted((_ROOT / "bench").rglob("*.py"), key=lambda p: (len(p.parts), p)):
        module = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
        if path.stem == name:
            found.append(module.rpartition(".")[0])
        elif any(name in _named(node) for node in ast.parse(path.read_text(encoding="utf-8")).body):
            found.append(module)
    return found


def _named(node: ast.stmt) -> set[str]:
    """What a statement at the top of a file gives a name to."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _groups(kind: str, known: Sequence[str]) -> dict[str, list[str]]:
    """What each word that is no name stands for; a word that is both a family and a beginning stands for both."""
    found: dict[str, dict[str, None]] = {}
    for name in known:
        series, _, _ = name.rpartition(":")
        for group in {name.split(mark, 1)[0] for mark in ":-" if mark in name} | {series}:
            found.setdefault(group, {})[name] = None
    if kind == "method":
        for family, members in families().items():
            found.setdefault(family, {}).update(dict.fromkeys(members))
        found["mission"] = dict.fromkeys(name for name in MISSION if name in known)
    found["all"] = dict.fromkeys(
        name for name in known if name.partition(":")[0] not in ({*known} - {name}) | ASIDE and name.count(":") < 2
    )
    return {group: list(members) for group, members in found.items() if group}


def _declarations(module: str, path: Path, words: Sequence[str]) -> list[Declaration]:
    """What a file declares by calling one of `words`."""
    try:
        return declared_by(path.read_text(encoding="utf-8"), module, path, words)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two of what nests too deep
        line = getattr(error, "lineno", None) or 1
        why = getattr(error, "msg", "") or str(error) or "it nests too deep"
        raise UsageError(f"{path}:{line} cannot be read: {why}. Mend or remove the file.") from error


def _declared(kind: str, call: ast.Call, node: ast.stmt, module: str, path: Path) -> Iterator[Declaration]:
    literals = [a.value if isinstance(a, ast.Constant) else None for a in call.args]
    keywords = {k.arg: k.value.value for k in call.keywords if k.arg and isinstance(k.value, ast.Constant)}
    own = literals if kind == "task" else literals[:1]
    if not own or not all(isinstance(name, str) for name in own):
        raise UsageError(f"{path}:{call.lineno} declares a {kind} whose name is no literal string. Write the name out.")
    for named in map(str, own):
        if why := unfit(named.replace(":", "-").replace("/", "-")):
            raise UsageError(
                f"{path}:{call.lineno} declares a {kind} {named[:80]!a}, which can name no file: {why}. Take another."
            )
    doc = literals[1] if kind == "method" and len(literals) > 1 else None
    if doc is None and isinstance(node, ast.ClassDef | ast.FunctionDef):
        doc = (ast.get_docstring(node) or "").split("\n")[0]
    parts = {k: v for k, v in keywords.items() if isinstance(v, str)}
    flags = frozenset(k for k, v in keywords.items() if v is True)
    for name in own:
        yield Declaration(kind, str(name), module, path, call.lineno, str(doc or ""), parts, flags)
