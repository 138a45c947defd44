"""What models said of every item, as scripts that a page loads when it is opened: texts shared by cells, and a cell's.

texts/<digest>.js         what was asked of the items of a table, and the references
cell/<table>/<run>.js     item values of a cell, and what its model said, in the order of the texts

Values are integers of 1/10000, null where an item is not scored: smaller and faster to read than decimals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from bench.api import Sample
from bench.board.items import Array, Asked, higher_is_worse, judgements
from bench.board.remembered import Threshold
from bench.board.report.pages import plain
from bench.compare.crossed import Crossed, Run
from bench.keys import digest
from bench.store.answers import Said

SCALE = 10_000


class Texts(NamedTuple):
    """The items of a table and what was asked of them; `script` is the file of that name."""

    digest: str
    script: str
    roles: Mapping[str, Sequence[str]]  # by set


def as_script(call: str, *arguments: Any) -> str:
    """A script that hands `arguments` to the page. No text in them can end the script or be taken for markup."""
    return f"bench.{call}({','.join(map(plain, arguments))});\n"


def texts(crossed: Crossed, asked: Asked, said: Said | None) -> Texts:
    """Ids, authors, questions and references of a table's items.

    Args:
        said: what any one model of the table said: references are the same for all. None where no rows are here.
    """
    roles: dict[str, dict[str, None]] = {name: {} for name in crossed.ids}
    for (set_, _), by_role in (said or {}).items():
        if set_ in roles:
            roles[set_].update(dict.fromkeys(by_role))
    for set_, _, role in asked:
        if set_ in roles:
            roles[set_].setdefault(role)
    sets = {}
    for name, ids in crossed.ids.items():
        authors = list(dict.fromkeys(crossed.clusters[name]))
        number = {author: i for i, author in enumerate(authors)}
        answers = [(said or {}).get((name, i), {}) for i in ids]
        sets[name] = {
            "ids": list(ids),
            "authors": authors,
            "of": [number[label] for label in crossed.clusters[name]],
            "asked": {
                role: {
                    "questions": [asked.get((name, i, role)) for i in ids],
                    "references": [a[role][1] if role in a else None for a in answers],
                }
                for role in roles[name]
            },
        }
    named = digest(sets)
    return Texts(named, as_script("texts", named, {"sets": sets}), {name: list(r) for name, r in roles.items()})


def cell(crossed: Crossed, run: Run, of: Texts, said: Said | None, marks: Mapping[str, Sequence[Threshold]]) -> str:
    """The script of one cell: all of its items, by set, in the order of the texts.

    Each set has `by`, the column that it is judged by (None: nothing judges it), `worse`, which end of it is bad,
    `values` by column, `said` by role (none where the rows are not here) and `remembered` by metric: a character an
    item, 1 remembered, 0 not, - not scored.

    Args:
        marks: what counts as remembered in this seed, from `remembered.remembered`.
    """
    sample = crossed.values[run]
    flags: dict[str, dict[str, str]] = {}
    for metric, thresholds in marks.items():
        for threshold in thresholds:
            flags.setdefault(threshold.set, {})[metric] = threshold.flags(sample)
    columns = {name: [c for _, c in keys] for name, keys in groupby(sorted(sample), key=itemgetter(0))}
    content = {
        "method": run.method,
        "seed": run.seed,
        "texts": of.digest,
        "here": said is not None,
        "sets": {
            name: {
                **_values(sample, name, columns.get(name, [])),
                "said": _said(said, name, ids, of.roles[name]),
                "remembered": flags.get(name, {}),
            }
            for name, ids in crossed.ids.items()
        },
    }
    return as_script("cell", content)


def _values(sample: Sample, set_: str, columns: Sequence[str]) -> dict[str, Any]:
    """What a set is judged by, and its columns that have a value at all."""
    judged = judgements(sample, set_)
    by = next(iter(judged), None)
    shown = dict(judged) | {name: sample[set_, name] for name in columns if name not in judged}
    stacked = np.stack(list(shown.values())) if shown else np.empty((0, 0))
    known = [not np.isnan(values).all() for values in stacked]
    numbers = integers(stacked[known])
    names = [name for name, kept in zip(shown, known, strict=True) if kept]
    return {
        "by": by,
        "worse": "high" if higher_is_worse(set_) else "low",
        "values": dict(zip(names, numbers, strict=True)),
    }


def integers(values: Array) -> list[Any]:
    """Values of any shape in units of 1/10000, as nested lists; None where there is none."""
    finite = np.isfinite(values)
    whole = np.rint(np.where(finite, values, 0.0) * SCALE).astype(np.int64)
    if finite.all():
        return whole.tolist()
    found = whole.astype(object)
    found[~finite] = None
    return found.tolist()


def _said(said: Said | None, set_: str, ids: Sequence[str], known: Sequence[str]) -> dict[str, list[str | None]]:
    """By role, in the order of the ids."""
    if said is None:
        return {}
    answers = [said.get((set_, i), {}) for i in ids]
    roles = dict.fromkeys([*known, *(role for one in answers for role in one)])
    found = {role: [one[role][0] if role in one else None for one in answers] for role in roles}
    return {role: lines for role, lines in found.items() if any(line is not None for line in lines)}
