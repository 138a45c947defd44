"""Whether what was published of restoring holds on the boards of results/.

python docs/restor.py [--results DIR]      writes the tables of docs/restor.md anew
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.compare.studies import restor
from bench.compare.studies.found import kind, studies
from bench.compare.studies.study import CONTROLS, Figure, Study
from bench.store import files

PAGE = Path(__file__).with_suffix(".md")
ALPHA = 0.05
PUBLISHED = {"ga": "forgets without restoring", "kl": "forgets without restoring",
             "npo": "restores, less when diluted"}  # fmt: skip
"""By the loss of a method: what the authors of RESTOR sum up."""
NONE = "No board of this task is in results/ yet."


def found(results: Path) -> str:
    """A table a board: recovery at each dilution, what is tested, and what that says."""
    records = files.records(results, lambda line: print(line, file=sys.stderr))
    made = [study for study in studies(results, records) if kind(study.name) == "restor"]
    return "\n\n".join(map(table, made)) or NONE


def table(study: Study) -> str:
    """One study, a line a method."""
    curves = {curve.title: curve.lines for curve in study.curves}
    back = curves["True facts that come back"]
    levels = [at for at, _ in next(iter(back.values()))]
    heads = ["method", *(f"k = {at:g}" for at in levels[1:]), *restor.TESTED, "found here", "published"]
    lines = [f"### {study.data}, model {study.model}, seeds {', '.join(map(str, study.seeds))}", ""]
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for method, row in study.rows.items():
        if method not in CONTROLS:
            tested = [said(row.get(title)) for title in restor.TESTED]
            later = [value(figure) for _, figure in back[method][1:]]
            cells = [method, *later, *tested, verdict(row), published(method)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(row: Mapping[str, Figure]) -> str:
    """What corrected tests tell of a method."""
    if told(row.get(restor.UNDILUTED), 1) or told(row.get(restor.RECOVERY), 1):
        return "restores, less when diluted" if told(row.get(restor.RETURNED_SLOPE), -1) else "restores"
    if not told(row.get(restor.FORGOTTEN), 1):
        return "nothing is told from target"
    return "forgets, and loses true facts too" if told(row.get(restor.RECOVERY), -1) else "forgets without restoring"


def published(method: str) -> str:
    """What is published of a method's loss; "-" of one that RESTOR did not run."""
    return PUBLISHED.get(method.rpartition("-")[2], "-")


def told(figure: Figure | None, sign: int) -> bool:
    """Whether a corrected test tells it from 0, on that side."""
    if figure is None or figure.value is None or figure.p is None:
        return False
    return figure.p < ALPHA and figure.value * sign > 0


def value(figure: Figure) -> str:
    """The number alone."""
    return "-" if figure.value is None else f"{figure.value:.2f}"


def said(figure: Figure | None) -> str:
    """A number with its interval and its corrected p."""
    if figure is None or figure.value is None:
        return figure.note if figure and figure.note else "-"
    ends = "" if figure.lo is None or figure.hi is None else f" [{figure.lo:.2f}, {figure.hi:.2f}]"
    p = "" if figure.p is None else f", p {'< 0.001' if figure.p < 0.001 else f'= {figure.p:#.3g}'}"
    return f"{figure.value:.2f}{ends}{p}"


def rewritten(text: str, results: Path) -> str:
    """The page with its tables made anew."""
    body = found(results)
    return re.sub(r"(<!-- found -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{body}\n\n{m[2]}", text, flags=re.S)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), arguments.results), encoding="utf-8")


if __name__ == "__main__":
    main()
