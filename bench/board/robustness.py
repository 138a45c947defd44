"""What attacks brought back, as tables: line by line, and of each method what brought back most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bench.compare.analysis import Rules, Table
from bench.compare.readings import USABLE, Line
from bench.compare.robustness import Recovery
from bench.store.attacked import PLAIN

HEAD = "Is it really gone?"
HOLDS = {
    "questions": "asks questions",
    "probabilities": "asks questions and reads the probabilities of answers",
    "weights": "holds the weights",
    "target": "holds the weights, and the model before unlearning",
}
"""What an attacker has, by what an attack needs."""
READING = (
    "*Excess*: what the attack brings back beyond what it brings out of retrain (0 is the goal), with 95% interval; "
    "\u2260 where a test, corrected for all that are here, shows more than of retrain. In brackets what says nothing: "
    "the target does not answer either, or is not told from retrain. *Retrain* and *target*: how much of the answers "
    "they know under the same attack. *Share*: of the gap between retrain and target, what is open after it. Where "
    f"utility falls below {USABLE:.0%} of what it was nothing counts. Definitions: docs/robustness.md."
)
"""How to read the tables."""
SPEED = (
    "*Half back*: steps until half of the gap between retrain and target is closed; behind > the last step that counts "
    "where it is not by then. *Area*: mean height of the method's curve above retrain's, over log(1 + step) as the "
    "figures have it (0 is the goal), with 95% interval, not corrected."
)
"""How to read how fast an attack in training steps brings answers back."""


def lines(table: Table) -> list[tuple[str, list[Recovery]]]:
    """Every line of every attack with its methods, in the order of the attacks; controls last."""
    found: dict[str, list[Recovery]] = {}
    for row in sorted(table.attacks, key=lambda row: row.line.control):
        found.setdefault(name(row), []).append(row)
    return list(found.items())


def name(row: Recovery) -> str:
    """How a line is called: "relearning: same template, LoRA 8"."""
    said = called(row.line) + (f": {row.line.name}" if row.line.name else "")
    return f"{said} (control)" if row.line.control else said


def called(line: Line) -> str:
    """How a line's attack is called."""
    return "taking the hooks off" if line.attack == PLAIN else line.attack


def is_shown(row: Recovery, rules: Rules) -> bool:
    """Whether a corrected test says that the attack brings back more than of retrain; a weak row says nothing."""
    return not row.weak and row.excess is not None and row.excess.significant(rules.alpha) and row.excess.difference > 0


def sentence(table: Table, rules: Rules) -> str:
    """What the attacks show, in a sentence or two."""
    labels = dict.fromkeys(row.label for row in table.attacks)
    shown = {label: [row for row in table.attacks if row.label == label and is_shown(row, rules)] for label in labels}
    found = {label: [row for row in of if not row.line.control] for label, of in shown.items()}
    caught = [label for label, of in found.items() if any(row.before is not None for row in of)]
    never = [label for label, of in found.items() if of and label not in caught]
    ways = {(row.line.attack, row.line.name) for row in table.attacks if not row.line.control}
    count = f"{len({attack for attack, _ in ways})} attacks in {len(ways)} ways"
    if not labels:
        return ""
    if not caught and not never:
        return f"{count} on {len(labels)} methods: of none is it shown that more comes back than of retrain."
    said = [
        f"more than of retrain {what}, shown by a corrected test, of {', '.join(of)} ({len(of)} of {len(labels)})"
        for what, of in (("comes back", caught), ("is still there to be found, though not that more comes back", never))
        if of
    ]
    return f"{count}: {'; '.join(said)}."


def most(table: Table) -> list[Recovery]:
    """Of each method the line that brings back most beyond retrain, controls and weak ones aside.

    What has no before can bring nothing back: it finds what never went, and counts only where nothing else was done.
    """
    back = {row.label for row in table.attacks if row.before is not None and not row.weak and not row.line.control}
    rows = [row for row in table.attacks if row.before is not None or row.label not in back]
    return sorted(_most(rows, lambda row: row.label), key=_less)


def most_by_attack(rows: Iterable[Recovery]) -> list[Recovery]:
    """Of each attack, and model of the method, the same."""
    return sorted(_most(rows, lambda row: f"{row.line.attack} {row.form}"), key=_less)


def _most(rows: Iterable[Recovery], of: Callable[[Recovery], str]) -> Iterable[Recovery]:
    found: dict[str, Recovery] = {}
    for row in rows:
        if row.excess is not None and not row.line.control and not row.weak:
            found[of(row)] = min(found.get(of(row), row), row, key=_less)
    return found.values()


def _less(row: Recovery) -> float:
    return -row.excess.difference if row.excess else 0.0


def markdown(table: Table, rules: Rules, whole: bool = True) -> str:
    """The tables with how to read them; "" where nothing was attacked.

    Args:
        whole: every line, not only what brings back most.
    """
    if not table.attacks:
        return ""
    labels = list(dict.fromkeys(row.label for row in table.attacks))
    heads = ["attack", "injects", "retrain", "target", *labels]
    body = []
    for title, of in lines(table):
        by = {row.label: row for row in of}
        anchors = [number(mean([getattr(row, who) for row in of])) for who in ("retrain", "target")]
        body.append([title, of[0].line.injects, *anchors, *(cell(by.get(label), rules) for label in labels)])
    worst = [
        [row.label, name(row), *map(number, (row.before, row.after, row.retrain)), cell(row, rules), share(row)]
        for row in most(table)
    ]
    parts = [
        sentence(table, rules),
        _rows(["method", "brings back most", "before", "after", "retrain", "excess", "share of the gap"], worst),
        *([_rows(heads, body)] if whole else []),
        *filter(None, [powerless(table)]),
        READING,
    ]
    return "\n\n".join(parts if whole else parts[:-1])


def powerless(table: Table) -> str:
    """Which ways of asking say nothing, because the target itself does not answer; "" where all do."""
    found: dict[str, dict[str, None]] = {}
    for row in table.attacks:
        found.setdefault(name(row), {}).update(dict.fromkeys(row.powerless))
    told = [f"{line} ({', '.join(settings)})" for line, settings in found.items() if settings]
    told += list(dict.fromkeys(name(row) for row in table.attacks if row.weak and row.excess and not row.powerless))
    return f"Without power, for the target itself knows less than half when it is asked so: {'; '.join(told)}." * bool(
        told
    )


def cell(row: Recovery | None, rules: Rules) -> str:
    """An excess with its interval, or why there is none."""
    if row is None:
        return "-"
    if row.excess is None:
        return "ruined" if row.weak else "too few"
    text = excess(row) + (" \u2260" if is_shown(row, rules) else "")
    return f"({text})" if row.weak else text


def excess(row: Recovery) -> str:
    """An excess with its interval."""
    c = row.excess
    return "-" if c is None else f"{c.difference:+.2f} [{c.lo:+.2f}, {c.hi:+.2f}]"


def said(row: Recovery, rules: Rules) -> str:
    """An excess with its interval, and whether a test shows it, in words."""
    if row.excess is None or is_shown(row, rules):
        return excess(row)
    return f"{excess(row)}, {'of one seed alone' if len(row.seeds) == 1 else 'which no corrected test shows'}"


def share(row: Recovery) -> str:
    """The share of the gap, with its interval."""
    s = row.share
    if s.value is None:
        return "unscored"
    return f"{s.value:.2f}" + (f" [{s.lo:.2f}, {s.hi:.2f}]" if s.lo is not None else "")


def half_back(row: Recovery) -> tuple[str, str]:
    """Steps until half of the gap is closed, by the method and by retrain; "" of an attack that has no steps."""
    if (of := row.speed) is None:
        return "", ""
    own, retrain = (f"> {of.last:g}" if steps is None else f"{steps:g}" for steps in (of.steps, of.retrain))
    return own, retrain


def area(row: Recovery) -> str:
    """The area between the method's curve and retrain's, with its interval."""
    if row.speed is None:
        return "-"
    of = row.speed.area
    return f"{of.value:+.2f}" + (f" [{of.lo:+.2f}, {of.hi:+.2f}]" if of.lo is not None else "")


def plain(row: Recovery) -> dict[str, Any]:
    """A row as JSON has it."""
    tested = ("difference", "lo", "hi", "p", "p_holm")
    return {
        "attack": row.line.attack,
        "line": row.line.name,
        "control": row.line.control,
        "form": row.form,
        "seeds": list(row.seeds),
        "before": row.before,
        "after": row.after,
        "retrain": row.retrain,
        "target": row.target,
        "excess": row.excess and {name: getattr(row.excess, name) for name in tested},
        "share": row.share._asdict(),
        "chosen": [{"setting": setting, "step": step} for setting, step in row.chosen],
        "weak": row.weak,
        "powerless": list(row.powerless),
        "suppressed": row.suppressed,
        "speed": row.speed and {**row.speed._asdict(), "area": row.speed.area._asdict()},
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def number(value: float | None) -> str:
    """With two digits."""
    return "-" if value is None else f"{value:.2f}"


def _rows(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *body))
