"""What attacks there are, and what they found on the boards of results/.

    python docs/robustness.py [--results DIR]      writes the tables of docs/robustness.md anew

A table stands between `<!-- NAME -->` and `<!-- end -->`.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import registry
from bench.board import robustness
from bench.board.about import title
from bench.compare.analysis import Rules, Table, analyse
from bench.run.attacking import make
from bench.store import files

PAGE = Path(__file__).with_suffix(".md")
HOLDS = {
    "questions": "may ask",
    "probabilities": "sees probabilities",
    "weights": "has the weights",
    "target": "has the model before unlearning too",
}
"""What an attacker holds, in words; each holds what stands before it."""


def attacks() -> str:
    """Every attack: what it assumes of the attacker, what it tells the model, whether `--attacks light` has it."""
    rows = ["| attack | what is done | attacker | injects | light |", "|---" * 5 + "|"]
    for name in registry.names("attack"):
        made = make(name)
        light = "on request" if getattr(made, "asked_only", False) else "yes" if made.light else ""
        doc = registry.find("attack", name).doc
        rows.append(f"| `{name}` | {doc} | {HOLDS[made.needs]} | {made.injects} | {light} |")
    return "\n".join(rows)


def boards(results: Path) -> list[Table]:
    """The boards on which attacks were carried out."""
    records = files.records(results, lambda line: print(line, file=sys.stderr))
    return [table for table in analyse(results, records) if table.attacks]


def found(tables: Sequence[Table]) -> str:
    """What brought back most of each method, board by board."""
    parts = []
    for table in tables:
        parts += [f"### {title(table)}", robustness.markdown(table, Rules(), whole=False)]
    return "\n\n".join(parts)


def rewritten(text: str, results: Path) -> str:
    """The page with its tables made anew."""
    for name, body in (("attacks", attacks()), ("found", found(boards(results)))):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, b=body: f"{m[1]}\n{b}\n\n{m[2]}", text, flags=re.S
        )
    return text


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), arguments.results), encoding="utf-8")


if __name__ == "__main__":
    main()
