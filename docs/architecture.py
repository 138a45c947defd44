"""Draw the house from its import lines: `docs/architecture.svg`, and the list of rooms in `docs/architecture.md`.

    python docs/architecture.py            draw anew
    python docs/architecture.py --check    exit 1 if what is drawn is not what the imports say

Every import counts: those inside functions, and those that only a type checker follows. A circle between rooms cannot
be drawn and ends with exit 1. Standard library only.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
PAGE = ROOT / "docs" / "architecture.md"
OPENING, CLOSING = "<!-- rooms: written by docs/architecture.py -->\n", "<!-- end of rooms -->\n"

Graph = Mapping[str, frozenset[str]]

WIDTH, BOX, GAP, FLOOR, HEAD = 1000, 180, 12, 108, 44
"""Of the picture, of a box, between boxes, from floor to floor, of what stands above; in pixels."""
LETTERS = 27
"""How many letters of what a room says fit a line."""


class Circle(Exception):
    """Rooms that import each other; the message names them in order."""


# -- the house -------------------------------------------------------------------------------------------------------


def room(module: str) -> str:
    """The room of a module: `bench.run.plan` is in `run`, `methods.npo` in `methods`; `bench` itself is the door."""
    words = module.split(".")
    if module in ("bench", "bench.__main__"):
        return "bench"
    return words[1] if words[0] == "bench" else words[0]


def modules(root: Path) -> dict[str, Path]:
    """Every module of the three packages and its file."""
    files = (path for package in ("bench", "methods", "tasks") for path in sorted((root / package).rglob("*.py")))
    return {".".join(f.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def imported(tree: ast.AST, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules of ours that a source imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def house(root: Path) -> dict[str, frozenset[str]]:
    """Each room and the rooms that it imports."""
    known = modules(root)
    found: dict[str, set[str]] = {}
    for module, path in known.items():
        needs = {room(name) for name in imported(ast.parse(path.read_text(encoding="utf-8")), known) if name in known}
        found.setdefault(room(module), set()).update(needs - {room(module)})
    return {name: frozenset(needs) for name, needs in sorted(found.items())}


def floors(graph: Graph) -> dict[str, int]:
    """The floor of each room: above all that it imports, and a room that imports nothing right below its users.

    Raises:
        Circle: a room imports another that comes back to it.
    """
    found: dict[str, int] = {}

    def climb(name: str, way: tuple[str, ...]) -> int:
        if name in way:
            raise Circle(" -> ".join((*way[way.index(name) :], name)))
        if name not in found:
            found[name] = 1 + max((climb(below, (*way, name)) for below in sorted(graph[name])), default=-1)
        return found[name]

    for name in graph:
        climb(name, ())
    for name in (n for n in graph if not graph[n]):
        found[name] = min((found[user] - 1 for user in graph if name in graph[user]), default=0)
    return found


def reduced(graph: Graph) -> dict[str, frozenset[str]]:
    """The arrows that say something: without those to a room that another arrow's room leads to anyway."""

    def below(name: str) -> frozenset[str]:
        return graph[name].union(*(below(other) for other in graph[name]))

    return {name: needs - frozenset().union(*(below(other) for other in needs)) for name, needs in graph.items()}


def says(root: Path, name: str) -> str:
    """The first sentence of what a room says of itself."""
    if name == "bench":
        return "`python -m bench`, and `bench.load_results` for notebooks."
    places = (root / "bench" / name / "__init__.py", root / "bench" / f"{name}.py", root / name / "__init__.py")
    text = ast.get_docstring(ast.parse(next(p for p in places if p.is_file()).read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".") + "."


# -- the picture -----------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A room on its floor, or a bend of an arrow that passes the floor."""

    name: str
    floor: int
    bend: bool


def rows(graph: Graph, on: Mapping[str, int]) -> tuple[list[list[Place]], list[list[Place]]]:
    """What stands on each floor, from the ground up, and each arrow as the places that it passes."""
    levels = [[Place(n, level, False) for n in graph if on[n] == level] for level in range(max(on.values()) + 1)]
    ways = []
    for name, needs in graph.items():
        for other in sorted(needs):
            bends = [Place(f"{name}>{other}", level, True) for level in range(on[name] - 1, on[other], -1)]
            for bend in bends:
                levels[bend.floor].append(bend)
            ways.append([Place(name, on[name], False), *bends, Place(other, on[other], False)])
    steps = [pair for way in ways for pair in itertools.pairwise(way)]
    for sweep in range(24):  # each floor is put in order by the middle of what its places are bound to
        down = sweep % 2 == 0
        order = range(len(levels) - 2, -1, -1) if down else range(1, len(levels))
        for level in order:
            at = {place: _middle(i, len(row)) for row in levels for i, place in enumerate(row)}
            bound = {p: [a if b == p else b for a, b in steps if p == (b if down else a)] for p in levels[level]}
            levels[level].sort(key=lambda p: (sum(map(at.get, bound[p])) / len(bound[p])) if bound[p] else at[p])
    return levels, ways


def _middle(i: int, count: int) -> float:
    return (i + 0.5) / count


def across(levels: list[list[Place]]) -> dict[Place, float]:
    """Where the middle of each place is, from the left."""
    found = {}
    for row in levels:
        widths = [2 * GAP if place.bend else BOX for place in row]
        x = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
        for place, width in zip(row, widths):
            found[place] = x + width / 2
            x += width + GAP
    return found


def draw(root: Path) -> str:
    """The picture as SVG."""
    graph = house(root)
    on = floors(graph)  # first, for it names a circle
    levels, ways = rows(reduced(graph), on)
    x = across(levels)
    bottom = HEAD + len(levels) * FLOOR

    def top(place: Place) -> float:
        return bottom - (place.floor + 1) * FLOOR + 14

    tall = FLOOR - 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 8}" font-family="sans-serif">',
        "<title>The rooms of bench, drawn from its imports</title>",
        f'<rect width="{WIDTH}" height="{bottom + 8}" fill="#ffffff"/>',
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555555"/></marker>',
        '<text x="14" y="26" font-size="14" fill="#222222">An arrow: imports. All point down; '
        "those that follow from others are left out.</text>",
    ]
    for level in range(0, len(levels), 2):
        parts.append(
            f'<rect x="0" y="{bottom - (level + 1) * FLOOR}" width="{WIDTH}" height="{FLOOR}" fill="#f3f5f7"/>'
        )
    for way in ways:
        line = f"M{x[way[0]]:.0f},{top(way[0]) + tall:.0f}"
        for before, after in itertools.pairwise(way):
            y0, y1 = top(before) + tall, top(after)
            middle = (y0 + y1) / 2
            line += f" C{x[before]:.0f},{middle:.0f} {x[after]:.0f},{middle:.0f} {x[after]:.0f},{y1:.0f}"
            line += f" V{y1 + tall:.0f}" if after.bend else ""
        parts.append(f'<path d="{line}" fill="none" stroke="#777777" stroke-width="1.3" marker-end="url(#head)"/>')
    for place in (p for row in levels for p in row if not p.bend):
        parts += _box(place.name, x[place] - BOX / 2, top(place), tall, says(root, place.name), graph[place.name])
    return "\n".join([*parts, "</svg>\n"])


def _box(name: str, x: float, y: float, tall: int, text: str, needs: frozenset[str]) -> list[str]:
    shade = "#fdf3d8" if name in ("methods", "tasks") else "#ffffff"
    lines = _short(text.replace("`", ""))
    return [
        f"<g><title>{escape(name)} imports {escape(', '.join(sorted(needs)) or 'nothing of ours')}</title>",
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX}" height="{tall}" rx="5" fill="{shade}" stroke="#333333"/>',
        f'<text x="{x + 9:.0f}" y="{y + 18:.0f}" font-size="14" font-weight="bold" fill="#111111">{name}</text>',
        *(
            f'<text x="{x + 9:.0f}" y="{y + 33 + 13 * i:.0f}" font-size="11" fill="#333333">{escape(line)}</text>'
            for i, line in enumerate(lines)
        ),
        "</g>",
    ]


def _short(text: str) -> list[str]:
    """At most three lines: a sentence that is longer ends where a clause of it does."""
    clauses = [text, *(text[: cut.start()] for cut in reversed(list(re.finditer("[,:;]", text))))]
    tried = [textwrap.wrap(clause, LETTERS) for clause in clauses]
    return next((lines for lines in tried if len(lines) <= 3), tried[0][:3])


# -- the page --------------------------------------------------------------------------------------------------------


def listed(root: Path) -> str:
    """The rooms from the roof down: what each says and all that it imports."""
    graph = house(root)
    on = floors(graph)
    lines = ["| floor | room | what it is | imports |", "|---|---|---|---|"]
    for name in sorted(graph, key=lambda n: (-on[n], n)):
        needs = sorted(graph[name], key=lambda n: (-on[n], n))
        lines.append(f"| {on[name]} | `{name}` | {says(root, name)} | {', '.join(needs) or 'nothing of ours'} |")
    return "\n".join(lines) + "\n"


def page(root: Path, text: str) -> str:
    """The page with its list of rooms written anew."""
    before, _, rest = text.partition(OPENING)
    return before + OPENING + listed(root) + CLOSING + rest.partition(CLOSING)[2]


def main(words: list[str]) -> int:
    """Write both files, or compare them with what would be written."""
    try:
        wanted = {PICTURE: draw(ROOT), PAGE: page(ROOT, PAGE.read_text(encoding="utf-8"))}
    except Circle as circle:
        print(f"error: rooms import each other: {circle}", file=sys.stderr)
        return 1
    old = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in words:
        for path in old:
            print(f"error: {path.name} is not what the imports say. Run: python docs/architecture.py", file=sys.stderr)
        return int(bool(old))
    for path in old:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
