"""How often a model abstains: the share of questions that it answers with a refusal.

A method that abstains makes answers less likely than a model that never saw them, and all alike, which reads as
forgetting: so it is counted. The text decides, not the gate, so that one measure serves methods that act at inference
and methods that teach refusals to the weights.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bench.api import Rows
from bench.refusals import REFUSALS


def refusals_of(data: Iterable[str], parts: Mapping[str, Any]) -> set[str]:
    """All refusals that are looked for: the data's own, those of every language, and the method's own (`refusal`)."""
    own = {getattr(part, "refusal", "") for part in parts.values()}
    return {*data, *(line for lines in REFUSALS.values() for line in lines), *(w for w in own if isinstance(w, str))}


def with_abstained(rows: Rows, refusals: Iterable[str]) -> Rows:
    """Add the column `abstained` to the generations: 1 where one is a refusal and nothing else, else 0.

    Case, punctuation and blanks do not count. NaN where there is no generation.
    """
    known = {_plain(line) for line in refusals} - {""}
    said = rows.generations.generation
    values = [np.nan if not isinstance(text, str) else float(_plain(text) in known) for text in said]
    return dataclasses.replace(rows, generations=rows.generations.assign(abstained=np.asarray(values, dtype=float)))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
