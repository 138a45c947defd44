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
from bench.compare.robustness import Recovery
from bench.run.attacking import make
from bench.store import files
from bench.store.attacked import PLAIN

PAGE = Path(__file__).with_suffix(".md")


def attacks() -> str:
    """Every attack: what it assumes of the attacker, what it tells the model, whether `--attacks light` has it."""
    rows = ["| attack | what is done | attacker | injects | light |", "|---" * 5 + "|"]
    for name in registry.names("attack"):
        made = make(name)
        light = "on request" if getattr(made, "asked_only", False) else "yes" if made.light else ""
        doc = registry.find("attack", name).doc
        rows.append(f"| `{name}` | {doc} | {robustness.HOLDS[made.needs]} | {made.injects} | {light} |")
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


def power(tables: Sequence[Table]) -> str:
    """Which attacks say anything of a method on which data, for the target knows the answers when it is attacked so."""
    heads = ["attack", *(f"{table.data}: {table.task}, {table.model}" for table in tables)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in (name for name in registry.names("attack") if name != PLAIN):
        told = [with_power([row for row in table.attacks if row.line.attack == name]) for table in tables]
        lines.append("| " + " | ".join([f"`{name}`", *told]) + " |")
    return "\n".join(lines)


def with_power(rows: Sequence[Recovery]) -> str:
    """Whether an attack has power, by its rows of one board; which of its lines and settings, where not all have."""
    found: dict[str, list[Recovery]] = {}
    for row in rows:
        if not row.line.control and row.excess is not None:
            found.setdefault(row.line.name, []).append(row)
    able = {line: [row for row in of if not row.weak] for line, of in found.items()}
    if not found:
        return "-"
    if not any(able.values()):
        most = max(point[3] for of in found.values() for row in of for way in row.curves.values() for point in way)
        return f"no: the target knows {most:.2f} at most"
    if all(able.values()) and not any(row.powerless for of in found.values() for row in of):
        return "yes"
    told = []
    for line, of in able.items():
        settings = {s: None for row in of for s in row.curves if s and s not in row.powerless}
        named = " / ".join(settings)
        told += [f"{line} ({named})" if line and named else line or named] if of else []
    return f"in part: {'; '.join(told)}"


def rewritten(text: str, results: Path) -> str:
    """The page with its tables made anew."""
    tables = boards(results)
    for name, body in (("attacks", attacks()), ("power", power(tables)), ("found", found(tables))):
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
