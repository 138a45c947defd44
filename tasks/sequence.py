"""Requests one after another: each starts from the model that the one before it left.

The setting is that of continual unlearning (O3, arXiv:2407.10223; rebound in UnlearnCanvas, arXiv:2402.11846). Each
request is a task of its own, with a retrain model that never saw it or those before it, so its cell is like any other.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from bench.api import AttackData, Pair, Probes, Series, Splits, hops, make_task, task
from bench.errors import UsageError

WHOLE = {"tofu": "tofu:forget10", "lume": "lume"}
"""The task whose forget set is asked for in parts."""
BLOCKS = 4
EARLIER, LATER = "earlier", "later"
_OTHERS = ("earlier_extraction_strength", "later_extraction_strength")
NOTE = (
    "Requests one after another: the forget set is that of this request, retrain has seen neither it nor those before "
    "it, and methods start from the model that the request before left."
)
_Measured = TypeVar("_Measured", bound=Any)


@task(
    "sequence:tofu:1", "sequence:tofu:2", "sequence:tofu:3", "sequence:tofu:4",
    "sequence-b:tofu:1", "sequence-b:tofu:2", "sequence-b:tofu:3", "sequence-b:tofu:4",
    "sequence-c:tofu:1", "sequence-c:tofu:2", "sequence-c:tofu:3", "sequence-c:tofu:4",
    "sequence8:tofu:1", "sequence8:tofu:2", "sequence8:tofu:3", "sequence8:tofu:4",
    "sequence8:tofu:5", "sequence8:tofu:6", "sequence8:tofu:7", "sequence8:tofu:8",
    "sequence:lume:1", "sequence:lume:2", "sequence:lume:3", "sequence:lume:4",
    "sequence-b:lume:1", "sequence-b:lume:2", "sequence-b:lume:3", "sequence-b:lume:4",
    "sequence-c:lume:1", "sequence-c:lume:2", "sequence-c:lume:3", "sequence-c:lume:4",
    "sequence8:lume:1", "sequence8:lume:2", "sequence8:lume:3", "sequence8:lume:4",
    "sequence8:lume:5", "sequence8:lume:6", "sequence8:lume:7", "sequence8:lume:8",
)  # fmt: skip
@dataclass(frozen=True)
class Request:
    """One request of several: forget a fourth or an eighth of a task's forget set, after the parts before it.

    `sequence:tofu` asks for the forget set of tofu:forget10 in four parts of equal numbers of authors, `sequence:lume`
    for LUME's in documents; `sequence8` in eight parts, `sequence-b` and `sequence-c` for the four parts in another
    order. A method is handed this request's forget set and, as retain set, all that no request has named yet. The
    models of a task, and its data, are those of the whole.

    Sets: `forget` is this request, `earlier...` and `later...` are those before and after it, as `forget...` is in the
    whole; the others are the whole's. `member` (LUME) are this request's documents.
    """

    name: str
    version: ClassVar[int] = 1

    @property
    def series(self) -> Series:
        """Which request it is."""
        study, _, at = self.name.rpartition(":")
        return Series(study, "request", int(at), self.blocks)

    @property
    def after(self) -> str:
        """The request before, "" of the first."""
        return f"{self.series.name}:{self._at - 1}" if self._at > 1 else ""

    @property
    def blocks(self) -> int:
        """In how many parts the forget set is asked for."""
        return int(self.name.split(":")[0].partition("-")[0].removeprefix("sequence") or BLOCKS)

    @property
    def like(self) -> str:
        """Whose tuned settings serve: those of the task whose forget set is nearest in size, by its factor."""
        return {4: "tofu:forget05", 8: "tofu:forget01"}[self.blocks] if self._of == "tofu" else self.whole

    @property
    def headlines(self) -> Mapping[str, str]:
        """Those of the whole."""
        return self._whole.headlines

    @property
    def details(self) -> Mapping[str, Sequence[str]]:
        """Those of the whole, and what is known of the other requests."""
        return {**self._whole.details, "The other requests": _OTHERS}

    @property
    def memorisation(self) -> Sequence[str]:
        """Those of the whole."""
        return self._whole.memorisation

    @property
    def scores(self) -> Sequence[str]:
        """Those of the whole, and what is known of the other requests."""
        return (*self._whole.scores, *_OTHERS)

    @property
    def floors(self) -> Mapping[str, float]:
        """Those of the whole."""
        return self._whole.floors

    @property
    def order(self) -> tuple[int, ...]:
        """The parts in the order in which they are asked for."""
        places = list(range(self.blocks))
        variant = self.name.split(":")[0].partition("-")[2]
        if variant:
            random.Random(f"order-{variant}").shuffle(places)
        return tuple(places)

    def data(self, source: str) -> Splits:
        """The splits of this request.

        Raises:
            UsageError: the data has fewer authors or documents than parts, or is the world with two hops.
            BenchError: the hub cannot be reached.
        """
        if hops(source):
            raise UsageError(f"{self.name} has no data '{source}', which is TOFU's. Give --data embedded.")
        whole = self._whole.data(source)
        return requested(whole, self.name, [parts(whole, self.blocks)[place] for place in self.order], self._at)

    @property
    def _at(self) -> int:
        return int(self.name.rpartition(":")[2])

    @property
    def _of(self) -> str:
        return self.name.split(":")[1]

    @property
    def whole(self) -> str:
        """The task that asks for everything at once."""
        return WHOLE[self._of]

    @property
    def _whole(self) -> Any:
        return make_task(self.whole)


def parts(whole: Splits, count: int) -> list[frozenset[str]]:
    """The clusters (authors, documents) of the forget set in so many parts of equal size, or off by one.

    Raises:
        UsageError: there are fewer clusters than parts.
    """
    clusters = list(dict.fromkeys(text.cluster for text in whole.probes.texts if text.set == "forget"))
    if len(clusters) < count:
        raise UsageError(f"{len(clusters)} authors or documents are to be forgotten, too few for {count} requests.")
    return [frozenset(clusters[n::count]) for n in range(count)]


def requested(whole: Splits, name: str, asked: Sequence[frozenset[str]], at: int) -> Splits:
    """The splits of the request number `at` (from 1) of those asked for one after another.

    What is kept stands in the whole's order, so that neither the retain set nor anything else that a method is handed
    depends on how the requests to come are cut or ordered.
    """
    now, before = asked[at - 1], frozenset[str]().union(*asked[: at - 1])
    owners = _owners(whole)
    chosen = [owner in now for owner in owners]
    kept = [pair for pair, owner in zip(whole.forget, owners, strict=True) if owner not in now | before]
    return dataclasses.replace(
        whole,
        forget=_where(whole.forget, chosen),
        retain=(*whole.retain, *kept),
        taught=whole.full,
        alternatives=_where(whole.alternatives, chosen) if whole.alternatives else (),
        probes=Probes(
            tuple(_placed(whole.probes.texts, now, before)),
            tuple(_placed(whole.probes.prompts, now, before)),
            whole.probes.exams,
        ),
        attacks=_of_this(whole.attacks, now),
        notes=(*whole.notes, NOTE),
    )


def _where(rows: Sequence[Any], chosen: Sequence[bool]) -> tuple[Any, ...]:
    return tuple(row for row, wanted in zip(rows, chosen, strict=True) if wanted)


def _owners(whole: Splits) -> list[str]:
    """The cluster of each forget pair; one that is not measured goes with the pair before it."""
    places: dict[Pair, str] = {
        Pair(text.prompt, text.continuation, text.raw): text.cluster
        for text in whole.probes.texts
        if text.set == "forget" and text.role == "answer"
    }
    owners: list[str] = []
    first = next(iter(places.values()))
    for pair in whole.forget:
        owners.append(places.get(pair, owners[-1] if owners else first))
    return owners


def _placed(rows: Sequence[_Measured], now: frozenset[str], before: frozenset[str]) -> list[_Measured]:
    """What is measured, with what other requests name in sets of its own."""
    owners = {row.id: row.cluster for row in rows if row.set.startswith("forget")}
    found = []
    for row in rows:
        if not row.set.startswith(("forget", "member")) or owners.get(row.id) in (None, *now):
            found.append(row)
        elif row.set.startswith("forget"):
            where = EARLIER if row.cluster in before else LATER
            found.append(dataclasses.replace(row, set=row.set.replace("forget", where, 1)))
    return found


def _of_this(attacks: AttackData, now: frozenset[str]) -> AttackData:
    """The questions by detour about this request."""
    families = tuple(
        dataclasses.replace(family, forget=tuple(each for each in family.forget if each.cluster in now))
        for family in attacks.families
    )
    return dataclasses.replace(attacks, families=families)
