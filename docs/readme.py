"""Keep the pages true: what their commands print, and their tables of results.

    python docs/readme.py             run the commands of README.md and docs/{using,models,extending}.md and write their
                                      output
    python docs/readme.py --quick     the same without those that train a model
    python docs/readme.py --check     write nothing; exit 1 if a table is not what results/ says

A command stands in a fenced block behind `$ `, its output below it; `...` is anything within a line, and a line of
`...` any lines. Those of docs/extending.md are run one after the other, in a folder that is empty at first. A table
stands between `<!-- table DATA MODEL TASK -->`, which may name methods and scores
(`<!-- table DATA MODEL TASK | METHOD ... | SCORE ... -->`), and `<!-- end of table -->`. `tests/e2e/test_readme.py`
runs the same commands.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "using.md", ROOT / "docs" / "models.md")
WALKS = (ROOT / "docs" / "extending.md",)
"""Pages whose commands go on from one another."""
BLOCK = re.compile(r"(```\n)\$ python (-m bench [^\n]+)\n(.*?)(```\n)", re.DOTALL)
TABLE = re.compile(r"(<!-- table ([^>]*?) -->\n).*?(<!-- end of table -->\n)", re.DOTALL)
ANY = "..."


class Example(NamedTuple):
    """A command of a page and what the page says that it prints."""

    page: str
    command: str
    output: str

    @property
    def trains(self) -> bool:
        return self.command.startswith("-m bench run") and "--dry-run" not in self.command

    @property
    def needs(self) -> list[Path]:
        """Files outside the repository that the command reads."""
        return [ROOT / word for word in shlex.split(self.command) if word.startswith("../")]


def examples(pages: Sequence[Path] = PAGES) -> list[Example]:
    """Every command of the pages with its output."""
    return [
        Example(page.name, found[2], found[3])
        for page in pages
        for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def run(example: Example, folder: Path, empty: bool = False) -> str:
    """What the command prints, errors among it, in a folder that has the committed results, beside `shared`.

    With `empty` there is nothing but what commands before it left there.
    """
    place = folder / "here"
    place.mkdir(exist_ok=True)
    links = ((place / "results", ROOT / "results"), (folder / "shared", ROOT.parent / "shared"))
    for link, to in () if empty else links:
        if not link.is_symlink():
            link.symlink_to(to)
    done = subprocess.run(
        [sys.executable, *shlex.split(example.command)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


def fits(expected: str, printed: str) -> bool:
    """Whether this is what the page says, `...` standing for anything."""
    parts = []
    for line in expected.splitlines():
        if line.strip() == ANY:
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(r"[^\n]*?".join(map(re.escape, line.rstrip().split(ANY))) + r"\n")
    return re.fullmatch("".join(parts), printed) is not None


def refit(expected: str, printed: str) -> str:
    """What was printed, left out where the page leaves out: after `...` it goes on where a line begins alike."""
    if fits(expected, printed):
        return expected
    wanted, found = _pieces(expected.splitlines()), printed.splitlines()
    shown: list[str] = []
    for number, piece in enumerate(wanted):
        if number:
            shown.append(next((line for line in expected.splitlines() if line.strip() == ANY), ANY))
            word = (piece or [""])[0].split(ANY)[0].split()[:1]
            while piece and found and found[0].split()[:1] != word:
                found.pop(0)
        last = number == len(wanted) - 1
        taken = found if last and (piece or not number) else found[: len(piece)]
        shown += [old if fits(old + "\n", new + "\n") else new for old, new in _beside(piece, taken)]
        found = found[len(taken) :]
    return "\n".join(shown) + "\n"


def _pieces(lines: Sequence[str]) -> list[list[str]]:
    """The lines between lines of `...`."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line.strip() == ANY:
            found.append([])
        else:
            found[-1].append(line)
    return found


def _beside(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(new):
        yield (old[number] if number < len(old) else ""), line


def tables(text: str) -> str:
    """The page with its tables written anew from `results/`."""
    from bench.compare.analysis import analyse
    from bench.store import files

    if not TABLE.search(text):
        return text
    results = ROOT / "results"
    known = {(t.data, t.model, t.task): t for t in analyse(results, files.records(results, print))}

    def written(found: re.Match[str]) -> str:
        where, methods, scores = ([*part.split()] for part in (found[2] + " | | ").split("|")[:3])
        return found[1] + _table(known[tuple(where)], methods, scores) + found[3]

    return TABLE.sub(written, text)


def _table(table, methods: Sequence[str], scores: Sequence[str]) -> str:  # type: ignore[no-untyped-def]
    """A table as a page has it: the columns of the terminal, or the scores that are named."""
    from bench.board import terminal
    from bench.store.record import CONTROLS

    rows = [row for row in table.rows if row.method in methods or not methods]
    columns = terminal.columns(table, rows, {name.replace("_", " "): name for name in scores})
    if scores:
        columns = [column for column in columns if column.title == "method" or not column.dear]
    lines = ["| " + " | ".join(column.title for column in columns) + " |"]
    lines.append("|" + "|".join("---" if column.left else "--:" for column in columns) + "|")
    for cells in zip(*(column.cells for column in columns)):
        said = [f"*{cell}*" if cell in CONTROLS else cell for cell in cells]
        lines.append("| " + " | ".join(said) + " |")
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    """Write the pages, or say which of them is out of date."""
    old = {page: page.read_text(encoding="utf-8") for page in PAGES}
    new = {page: tables(text) for page, text in old.items()}
    if "--check" in words:
        stale = [page.name for page in PAGES if new[page] != old[page]]
        for name in stale:
            print(f"error: the tables of {name} are out of date. Run: python docs/readme.py --quick", file=sys.stderr)
        return int(bool(stale))
    with tempfile.TemporaryDirectory() as folder:

        def again(found: re.Match[str]) -> str:
            example = Example("", found[2], found[3])
            if (example.trains and "--quick" in words) or not all(path.exists() for path in example.needs):
                return found[0]
            return f"{found[1]}$ python {found[2]}\n{refit(found[3], run(example, Path(folder)))}{found[4]}"

        for page, text in new.items():
            page.write_text(BLOCK.sub(again, text), encoding="utf-8")
    for page in () if "--quick" in words else WALKS:
        page.write_text(walked(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def walked(text: str) -> str:
    """A page whose commands go on from one another, with what they print."""
    with tempfile.TemporaryDirectory() as folder:

        def again(found: re.Match[str]) -> str:
            printed = run(Example("", found[2], found[3]), Path(folder), empty=True)
            return f"{found[1]}$ python {found[2]}\n{refit(found[3], printed)}{found[4]}"

        return BLOCK.sub(again, text)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
