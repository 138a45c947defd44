"""A command whose cells are all done, seen without importing a method or reading the data.

The keys of the cells that a plan came to are kept in RESULTS/analysis, with what the plan was made of: the code, this
Python and the words of the command. While these are the same a plan would come to the same keys, so that records which
have them are up to date. Only where every cell is done is that taken for an answer; anything else is planned anew.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from bench import plugins
from bench.keys import digest
from bench.model.recipes import SCRATCH
from bench.run.provenance import code_digest
from bench.run.state import State, state_of
from bench.store import kept
from bench.store.record import Cell

Words = Mapping[str, Any]
"""What a command was given that decides which cells there are and what their keys hold: plain values by option."""


class Planned(Protocol):
    """What is kept of a planned cell."""

    @property
    def cell(self) -> Cell: ...

    @property
    def keys(self) -> Mapping[str, str]: ...

    @property
    def state(self) -> State: ...


class Settled(NamedTuple):
    """A cell and its state; `reason` is, of one that is done and has no scores, its status and why."""

    cell: Cell
    state: State
    reason: str


def code_now() -> str:
    """Digest of the code as it is on disk, and of this Python: keys hold syntax trees, which each writes in its way."""
    return digest([code_digest(), sys.version])


def settled(results: Path, words: Words, code: str) -> list[Settled] | None:
    """The cells that these words ask for if all are done, as a plan would say; None where it has to be asked.

    With checkpoints, data that is not embedded and plugins it always has to be: they change without the code.
    """
    if not _rests_on_code(words):
        return None
    try:
        known = kept.read(_path(results, words))
        cells = [(Cell(*cell), keys) for cell, keys in known["cells"]] if known["code"] == code else []
    except (OSError, ValueError, KeyError, TypeError):
        return None
    found = [Settled(cell, *state_of(results, cell, keys, {})) for cell, keys in cells]
    return found if found and all(of.state == "done" for of in found) else None


def settle(results: Path, words: Words, code: str, planned: Sequence[Planned]) -> None:
    """Keep the keys of a plan whose cells are all done, where they can be kept.

    Args:
        code: `code_now` before anything was imported. Where code was edited since, nobody knows which was planned with.
    """
    if not _rests_on_code(words) or any(of.state != "done" for of in planned) or code != code_now():
        return
    kept.write(_path(results, words), {"code": code, "cells": [[list(of.cell), dict(of.keys)] for of in planned]})


def _rests_on_code(words: Words) -> bool:
    return words["model"] in SCRATCH and words["data"] == "embedded" and not (words["settings"] or plugins.sources())


def _path(results: Path, words: Words) -> Path:
    return kept.path(results, f"plan-{digest(words)}")
