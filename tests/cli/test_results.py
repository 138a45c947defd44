"""Tables are for people: a terminal shows them, a pipe does not; what is left out is said to both, on stderr."""

from __future__ import annotations

import re

import pytest

from bench.cli.results import show_tables
from bench.compare.analysis import analyse
from tests.board.conftest import board, controls  # noqa: F401

CONTROLS = controls(0)


@pytest.mark.parametrize("terminal", [True, False])
def test_tables_are_shown_on_a_terminal_alone(board, monkeypatch, capsys, terminal):  # noqa: F811
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TERM", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    results, records = board(*CONTROLS, ("a", 0, 0.2, 0.9), ("c", 0, "failed"))
    show_tables(analyse(results, records), results)
    said = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said.out)
    assert ("headline" in plain) == terminal and (terminal or not plain)
    assert max(map(len, plain.splitlines()), default=0) <= 100
    assert said.err.startswith(
        "left out, tofu:forget10/c/tiny/embedded/seed0: failed: boom. Try it again: python -m bench"
    )
