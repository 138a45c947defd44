"""Attacks whose outcome is known, laid beside the records of a results directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.store import attacked
from bench.store.attacked import BARE, DELIVERED, Attacked, Point
from bench.store.record import Cell, Record

AUTHORS, EACH = 12, 3
N = AUTHORS * EACH
ITEMS = tuple((f"i{n:02}", f"author-{n // EACH}") for n in range(N))
STEPS, LAYERS, TIMES = (0, 1, 2, 4, 8), (1, 2, 3, 4), tuple(2**n for n in range(8))
PART, UNRELATED = "part of the forget set", "unrelated"


def about(**said: Any) -> dict[str, Any]:
    """What an attack says of itself, where it is not as most are."""
    usual = {"title": "", "light": True, "needs": "weights", "injects": "nothing", "axis": "", "at": None,
             "from_plain": True, "injects_by": {}, "controls": [], "doc": ""}  # fmt: skip
    return usual | said


ATTACKS: Mapping[str, dict[str, Any]] = {
    "plain": about(doc="The questions as they are."),
    "relearning": about(axis="steps", injects="forget facts", doc="Teach it a part of <the> forget set."),
    "logit-lens": about(axis="layer", from_plain=False, doc="Read each layer with the model's own head."),
    "leak": about(axis="k", at=128.0, from_plain=False, needs="questions", doc="Ask k times."),
    "hints": about(
        needs="questions",
        injects="related facts",
        controls=["another author"],
        injects_by={"another": "nothing"},
        doc="Hint at it.",
    ),
    "riddle": about(needs="questions", injects="form", doc="Ask in riddles."),
    "burning": about(axis="share", doc="Burn the weights."),
}
"""Riddles nobody answers, the target neither; who burns weights is left with nothing."""


def known(method: str, attack: str, line: str, setting: str, step: float) -> float:
    """How much is known of an item, on average: fo-npo's comes back in four steps of teaching, and in the middle of its
    layers; of all others, retrain too, nothing does."""
    if attack == "riddle":
        return 0.2
    if method == "target":
        return 0.9
    hides = method == "fo-npo"
    if attack == "relearning" and hides:
        best = 0.6 if line.startswith(PART) else 0.3
        return 0.1 + (best if setting == "rate 1" else best / 2) * min(step, 4) / 4
    if attack == "logit-lens":
        return 0.1 + 0.5 * (hides and step in (2, 3))
    if attack == "leak":
        return 1 - 0.99**step if hides else 0.0
    return 0.1


def readings(attack: str) -> Iterator[tuple[str, str, float]]:
    """Line, setting and step of every reading of an attack."""
    if attack == "relearning":
        for line in (f"{taught}, {how}" for taught in (PART, UNRELATED) for how in ("all weights", "LoRA 8")):
            yield from ((line, f"rate {rate:g}", step) for rate in (0.3, 1) for step in STEPS)
    elif attack == "hints":
        yield from ((line, "", 0.0) for line in ("own facts", "another author"))
    else:
        steps = {"logit-lens": LAYERS, "leak": TIMES}.get(attack, (0.0,))
        yield from (("", "", step) for step in steps)


def kept(attack: str, setting: str, step: float) -> float:
    """What is left of what should be kept: less than nine tenths after eight steps at rate 1."""
    return 0.0 if attack == "burning" else 0.8 if (setting, step) == ("rate 1", 8) else 1.0


def write(
    results: Path,
    records: Mapping[Cell, Record],
    attacks: Sequence[str] = tuple(ATTACKS),
    bare: Sequence[str] = (),
    wanted: Callable[[Cell], bool] = lambda cell: True,
) -> None:
    """The attacks of every cell that is wanted; of the methods in `bare` with the hooks off too: as the target."""
    for cell, record in records.items():
        if not wanted(cell) or record.status != "ok":
            continue
        points = []
        for form, method in ((DELIVERED, cell.method), *([(BARE, "target")] if cell.method in bare else [])):
            random = np.random.default_rng([cell.seed, *cell.method.encode()])
            for attack in ("plain", *(name for name in attacks if name != "plain")):
                for line, setting, step in readings(attack):
                    values = known(method, attack, line, setting, step) + random.normal(0, 0.02, N)
                    left = np.full(4, kept(attack, setting, step)) if ATTACKS[attack]["from_plain"] else np.array([])
                    points.append(Point(attack, form, line, setting, float(step), np.clip(values, 0, 1), left))
        done = {name: {"key": "k", "model": record.keys["train"], "about": ATTACKS[name], "seconds": 1.0, "error": "",
                       "notes": []} for name in dict.fromkeys(("plain", *attacks))}  # fmt: skip
        others = tuple((f"r{n}", f"r{n}") for n in range(4))
        attacked.save(results, cell, Attacked(ITEMS, others, tuple(points), done))
