"""Write the tables of studies into the pages that have a place for them, from the committed results.

    python docs/studies.py

A place is `<!-- study NAME DATA MODEL -->` ... `<!-- end -->`; where no cell has been run for it, it says what to type.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.board import studies as board
from bench.compare.analysis import Rules
from bench.compare.studies.found import studies
from bench.compare.studies.study import Study
from bench.store import files

PAGES = Path(__file__).parent
PLACE = re.compile(r"(<!-- study (\S+) (\S+) (\S+) -->\n).*?(<!-- end -->)", re.S)
Found = Mapping[tuple[str, str, str], Study]


def found(results: Path) -> Found:
    """The studies of a results directory by name, data and model."""
    records = files.records(results, lambda line: print(line, file=sys.stderr))
    return {(study.name, study.data, study.model): study for study in studies(results, records)}


def rewritten(text: str, known: Found) -> str:
    """A page with its tables made anew."""

    def table(place: re.Match[str]) -> str:
        name, data, model = place[2], place[3], place[4]
        study = known.get((name, data, model))
        missing = f"Not run yet: `python -m bench run --tasks {name} --methods mission --seeds 0,1,2,3,4`"
        body = f"**{board.title(study)}**\n\n{board.markdown(study, Rules())}" if study else missing
        return f"{place[1]}\n{body}\n\n{place[5]}"

    return PLACE.sub(table, text)


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    known = found(parser.parse_args().results)
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if PLACE.search(text):
            page.write_text(rewritten(text, known), encoding="utf-8")


if __name__ == "__main__":
    main()
