"""Count what became of the mutants of `make mutants`, room by room, and write the table of mutants.md.

    python docs/mutants.py

Rooms that the last run did not finish keep the line that they have.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

PAGE = Path(__file__).parent / "mutants.md"
FOUND = Path("mutants")
TABLE = re.compile(r"(\|---.*\n)((?:\|.*\n)*)")
ALIVE, UNKNOWN = (0, 5, 33), (None, 2)
"""What mutmut notes of one that no test saw, and of one that was not tried."""


def counts(found: Path) -> dict[str, tuple[int, int]]:
    """Mutants and survivors of every room of which all were tried."""
    of: dict[str, Counter[int | None]] = {}
    for file in sorted(found.rglob("*.meta")):
        place = file.relative_to(found)
        room = "/".join(place.parts[:2]) if place.parts[0] == "bench" else place.parts[0]
        of.setdefault(room.removesuffix(".py.meta"), Counter()).update(
            json.loads(file.read_text())["exit_code_by_key"].values()
        )
    return {
        room: (ends.total(), sum(ends[code] for code in ALIVE))
        for room, ends in of.items()
        if ends.total() and not any(ends[code] for code in UNKNOWN)
    }


def rewritten(page: str, known: dict[str, tuple[int, int]]) -> str:
    """The page with new numbers of the rooms that are known."""

    def line(text: str) -> str:
        cells = [cell.strip() for cell in text.strip("|").split("|")]
        room = cells[0].strip("`")
        if room not in known:
            return text
        made, alive = known[room]
        return f"| `{room}` | {made} | {made - alive} | {1 - alive / made:.1%} | {cells[4]} |"

    return TABLE.sub(lambda at: at[1] + "".join(line(row) + "\n" for row in at[2].splitlines()), page, count=1)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), counts(FOUND)), encoding="utf-8")
