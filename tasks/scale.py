"""Growing forget sets: how much can be asked for at once before forgetting fails, or before it costs what should stay.

The question is NPO's (Zhang et al. 2024, arXiv:2404.05868): forget sets of a half, where others are said to fail at a
tenth. Every size has its own retrain model here, so that what retraining loses too is not held against a method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from bench.api import VALIDATION, Series, Splits, hops, make_task, task, world
from bench.errors import UsageError
from tasks import tofu
from tasks._embedded import world as embedded
from tasks._tofu_files import RETAIN, Row, Tables, holdout_of, retain_of

SIZES = (1, 2, 5, 10, 20, 50)
STEPS = "scale-steps"
FULL_COUNT = 10
"""The size, in %, at which a run has as many updates with fixed steps as with fixed epochs."""
NESTED = "Growing forget sets: the authors forgotten are the last {size}% of all, so each size holds those before it."
ASKED = (
    "Of the {all} forgotten authors the last {asked} are measured, those of the 10% forget set, so that larger sets "
    "are asked the same questions{held}."
)
HELD = "; the holdout set has {}, no more"
FIXED_STEPS = (
    "Gradient methods have as many updates as on the 10% forget set, whatever the size. Methods that are no gradient "
    "loop are, with the same settings, the same cells as in scale:tofu."
)


@task(
    "scale:tofu:01", "scale:tofu:02", "scale:tofu:05", "scale:tofu:10", "scale:tofu:20", "scale:tofu:50",
    "scale-steps:tofu:01", "scale-steps:tofu:02", "scale-steps:tofu:05",
    "scale-steps:tofu:10", "scale-steps:tofu:20", "scale-steps:tofu:50",
)  # fmt: skip
@dataclass(frozen=True)
class Growing:
    """TOFU with forget sets from 1 to 50% of the authors, each with the retrain model that never saw them.

    The forget sets are nested, the last authors of all; those whose retain rows are measured stand in front and are
    never forgotten. 1, 5 and 10% are tofu:forget01, 05 and 10: the same data, models and cells. `scale:tofu` gives
    every size the same passes over it, so updates grow with it; `scale-steps:tofu` gives every size the updates of
    10%, so that of 50% each item is seen less often than of 1%.

    Sets: those of TOFU. Forgetting and membership are measured on at most the last 10% of the authors: there are
    perturbed answers of no others in the real files, and measuring five times as many would take most of a cell's
    time. So 10, 20 and 50% are asked the very same. At 1% they are two authors, of which no interval can be given.
    """

    name: str
    version: ClassVar[int] = tofu.TOFU.version
    headlines: ClassVar[Mapping[str, str]] = tofu.TOFU.headlines
    details: ClassVar[Mapping[str, Sequence[str]]] = tofu.TOFU.details
    memorisation: ClassVar[Sequence[str]] = tofu.TOFU.memorisation
    scores: ClassVar[Sequence[str]] = tofu.TOFU.scores
    floors: ClassVar[Mapping[str, float]] = tofu.TOFU.floors

    @property
    def size(self) -> int:
        """How many of a hundred authors are forgotten."""
        return int(self.name.rpartition(":")[2])

    @property
    def series(self) -> Series:
        """Which size it is, in which of the two regimes."""
        return Series(self.name.rpartition(":")[0], "authors forgotten, %", self.size, len(SIZES))

    @property
    def forget(self) -> str:
        """The name of the forget split, "forget20"."""
        return f"forget{self.size:02d}"

    @property
    def like(self) -> str:
        """Whose tuned settings serve: those of the task whose forget set is nearest in size, by its factor.

        With fixed steps those of 10%, whose updates every size has: where a run stops is tuned too.
        """
        size = FULL_COUNT if self.name.startswith(STEPS) else self.size
        near = min(RETAIN, key=lambda name: _factor(size, int(name.removeprefix("forget"))))
        return f"tofu:{near}"

    @property
    def draws(self) -> str:
        """Under which name methods draw: cells of the same data are the same."""
        return f"tofu:{self.forget}" if self.forget in RETAIN else f"scale:tofu:{self.size:02d}"

    def schedule(self, source: str) -> Mapping[str, Any]:
        """With fixed steps the items of a pass are those of 10%, which changes nothing there."""
        fixed = self.name.startswith(STEPS) and self.size != FULL_COUNT
        return {"epoch_items": _items(source)} if fixed else {}

    def data(self, source: str) -> Splits:
        """The splits of this size.

        Raises:
            UsageError: the world with two hops, files without perturbed rows of those to be forgotten or without probes
                of those to be kept, a part to tune on of a size that TOFU has not.
            BenchError: the hub cannot be reached.
        """
        number = world(source)
        if hops(source):
            raise UsageError(f"{self.name} has no data '{source}', whose questions cross sizes. Give --data embedded.")
        if self.forget in RETAIN:
            made: Splits = make_task(f"tofu:{self.forget}").data(source)
        elif number is not None:
            origin = tofu.embedded_source(self.forget, number)
            made = tofu.splits(self.forget, embedded.split_tables(self.forget, number), origin)
        else:
            made = self._of_files(source)
        notes = [NESTED.format(size=self.size)]
        gone, asked, held = _authors(made.forget, number), _asked(made, "forget"), _asked(made, "holdout")
        if gone > asked:
            notes.append(ASKED.format(all=gone, asked=asked, held=HELD.format(held) if held else ""))
        notes += [FIXED_STEPS] if self.name.startswith(STEPS) else []
        return dataclasses.replace(made, notes=(*made.notes, *notes))

    def _of_files(self, source: str) -> Splits:
        if source.endswith(VALIDATION):
            raise UsageError(f"{self.name} has no part of {source} to tune on. Its settings are those of {self.like}.")
        tables, refusals = tofu.read(source, max(RETAIN))
        made = tofu.splits(self.forget, grown(tables, self.size, source), tofu.real_source(tables))
        return dataclasses.replace(made, refusals=refusals)


def grown(tables: Tables, size: int, source: str) -> Tables:
    """TOFU's tables of forget10 with a split of another size, measured on those rows that have perturbed versions.

    Raises:
        UsageError: none of the rows to be forgotten, or none of those to be kept, has perturbed versions; `source` is
            named.
    """
    full, largest = tables["full"], max(RETAIN)
    count = len(full) // tofu.ROWS_PER_AUTHOR * size // 100 * tofu.ROWS_PER_AUTHOR
    gone, kept = full[len(full) - count :], full[: len(full) - count]
    forget = f"forget{size:02d}"
    asked = {
        "forget": _among(tables[f"{largest}_perturbed"], gone),
        "retain": _among(tables["retain_perturbed"], kept),
    }
    for of, rows in asked.items():
        if not rows:
            raise UsageError(
                f"{source} has no perturbed versions of rows that a forget set of {size}% would {of}: the last {count} "
                f"of {len(full)} rows of full are forgotten, and rows of {largest}_perturbed and retain_perturbed are "
                f"asked. Take tofu:{largest}, or --data embedded."
            )
    held = tables.get(holdout_of(largest), ())
    return {
        **tables,
        forget: gone,
        retain_of(forget): kept,
        f"{forget}_perturbed": asked["forget"],
        "retain_perturbed": asked["retain"],
        holdout_of(forget): held[-count:] if count else (),
    }


def _among(rows: Sequence[Row], of: Sequence[Row]) -> tuple[Row, ...]:
    known = {(row.question, row.answer) for row in of}
    return tuple(row for row in rows if (row.question, row.answer) in known)


def _factor(one: int, other: int) -> float:
    return max(one / other, other / one)


def _authors(pairs: Sequence[Any], number: int | None) -> int:
    """Authors of whom so many pairs tell, in the embedded world or in files."""
    return len(pairs) // (tofu.ROWS_PER_AUTHOR if number is None else embedded.ROWS_PER_AUTHOR)


def _asked(made: Splits, which: str) -> int:
    """Authors of a set that are measured."""
    return len({text.cluster for text in made.probes.texts if text.set == which})


@cache
def _items(source: str) -> int:
    """Forget items at 10%."""
    if world(source) is not None:
        return embedded.forgotten(max(RETAIN)) * embedded.ROWS_PER_AUTHOR
    return len(make_task(f"tofu:{max(RETAIN)}").data(source).forget)
