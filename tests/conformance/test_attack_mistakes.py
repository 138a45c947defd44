"""What `check` says of an attack that breaks its contract, and that it breaks off where nothing more can be asked."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

import pytest

from bench.cli.main import main
from bench.cli.new import TEMPLATES

pytestmark = pytest.mark.usefixtures("alone")
SOURCE = Template((TEMPLATES / "attack.py.txt").read_text(encoding="utf-8")).substitute(
    {"name": "newcomer-loud", "title": "loud", "cls": "Loud", "year": 2026}
)
LOOP = "        for count in self.words:\n"
KNOWN = "subject.known(subject.lm, asked)"
MISTAKES = {
    "a need that is none": ('"probabilities"', '"a friend"', "its `needs` is 'a friend'. Write one of 'questions'"),
    "no injects": ('    injects: ClassVar = "nothing"', '    injecting: ClassVar = "nothing"', "has no `injects`"),
    "a field": ("light: ClassVar = True", "light: bool = True", "`light` of 'newcomer-loud' is a field"),
    "a step without an axis": ("at: ClassVar = None", "at: ClassVar = 3", "its axis is '' and `at` 3"),
    "no readings": ("yield Reading", "(yield from ()), Reading", "its `run` yields no readings"),
    "a mean": (KNOWN, f"{KNOWN}.mean()", "`known` has the shape (), not (4,)"),
    "logarithms": (KNOWN, f"{KNOWN} - 1", "`known` leaves 0 and 1. Give a share or a probability"),
    "nothing scored": (KNOWN, f"{KNOWN} * float('nan')", "no item is scored"),
    "twice the same": ('f"{count} words"', '""', "is there twice. Give what differs"),
    "kept of another size": (f"{KNOWN})", f"{KNOWN}, {KNOWN}[:1])", "`kept` has the shape (1,), not (4,)"),
    "its own weights": (
        LOOP,
        "        next(subject.lm.model.parameters()).data.add_(1)\n" + LOOP,
        "of the model. Work on subject.copy()",
    ),
    "gradients": (LOOP, "        subject.lm.model.requires_grad_(False)\n" + LOOP, "the gradients of the model are"),
    "chance": (
        KNOWN,
        f"__import__('numpy').random.uniform(0, 1, len(subject.items)) * {KNOWN}",
        'a second run finds something else. Draw from subject.stream("a name")',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_what_to_do(mistake: str, tmp_path: Path, capsys):
    old, new, says = MISTAKES[mistake]
    assert old in SOURCE
    place = tmp_path / "loud_attack.py"
    place.write_text(SOURCE.replace(old, new), encoding="utf-8")
    assert main(["check", "newcomer-loud", "--plugin", str(place)]) == 1
    (said,) = [line for line in capsys.readouterr().out.splitlines() if says in line]
    assert re.match(r"\s+(\S*/)?loud_attack\.py:\d+: ", said)


def test_what_the_toy_has_nothing_for_is_only_read(tmp_path: Path, capsys):
    place = tmp_path / "loud_attack.py"
    own = '    def available(self, data):\n        return "has no voice"\n\n    def run('
    place.write_text(SOURCE.replace("    def run(", own).replace(KNOWN, "1 / 0"), encoding="utf-8")
    assert main(["check", "--plugin", str(place)]) == 0
    assert "all 2 demands met" in capsys.readouterr().out
