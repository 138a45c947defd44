"""What attacks read of a method, beside what the same ones read of retrain and target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.compare.clustered import mean_of
from bench.store.attacked import BARE, DELIVERED, PLAIN, Attacked
from bench.store.record import CONTROLS, RETRAIN, Cell, Record

USABLE = 0.9
"""Share of what a model keeps before an attack that has to be left after it."""
Array = np.ndarray
Place = tuple[str, float]
"""A setting and a step."""
Readings = Mapping[Place, tuple[Array, Array]]
"""Of one line of one model, by place: known [N] and kept [M]."""
Models = Mapping[int, Mapping[tuple[str, str], Readings]]
"""Of one method, by seed, then by attack and line."""


class Line(NamedTuple):
    """One line of an attack."""

    attack: str
    name: str
    control: bool  # nothing should come back here
    injects: str = "nothing"  # what it tells the model
    needs: str = ""  # what the attacker holds
    axis: str = ""  # what its steps count
    doc: str = ""  # what is done, in a line


class Seen(NamedTuple):
    """One line of a method, retrain and target, in this order, over the seeds and places that all three have.

    Attributes:
        known: [3, S, P, N]; NaN where nothing was asked. before: the same as they are used, unattacked [3, S, N].
        kept: what the method has of what it should keep, and what the target has, [2, S, P, M]; NaN where it was not
            read. kept_before: the mean of the method's without an attack.
    """

    seeds: tuple[int, ...]
    places: tuple[Place, ...]
    known: Array
    before: Array
    kept: Array
    kept_before: float

    def keeps(self) -> Array:
        """[P] whether the method keeps enough there; where a seed was not read it costs nothing."""
        unread: Array = np.isnan(self.kept[0]).all(axis=-1).any(axis=0)
        enough: Array = mean_of(self.kept[0], (0, 2)) >= USABLE * self.kept_before
        return unread | enough

    def suppressed(self, places: Sequence[int]) -> float | None:
        """What the target has of what should be kept less what the method has, at some places."""
        mean = float(mean_of((self.kept[1] - self.kept[0])[:, list(places)]))
        return None if np.isnan(mean) else mean


def by_model(
    records: Mapping[Cell, Record], found: Mapping[Cell, Attacked]
) -> tuple[tuple[tuple[str, str], ...], dict[tuple[str, str], dict[int, Mapping[tuple[str, str], Readings]]]]:
    """The items, and the readings of each method and form by seed; cells with other items are passed over, and attacks
    that were done otherwise than on retrain."""
    how = {name: done.get("how") for cell, of in found.items() if cell.method == RETRAIN
           for name, done in of.done.items()}  # fmt: skip
    models: dict[tuple[str, str], dict[int, Mapping[tuple[str, str], Readings]]] = {}
    items: tuple[tuple[str, str], ...] = ()
    for cell in sorted(found, key=lambda c: (c.method not in CONTROLS, c.method, c.seed)):
        own, record = found[cell], records[cell]
        items = items or own.items
        if own.items != items:
            continue
        current = {
            name for name, about in own.done.items()
            if about.get("model") == record.keys.get("train") and about.get("how") == how.get(name)
        }  # fmt: skip
        for form in (DELIVERED, BARE):
            of_form: dict[tuple[str, str], dict[Place, tuple[Array, Array]]] = {}
            for point in own.points:
                if point.form == form and point.attack in current:
                    place = point.setting, point.step
                    of_form.setdefault((point.attack, point.line), {})[place] = point.known, point.kept
            if of_form:
                models.setdefault((cell.method, form), {})[cell.seed] = of_form
    return items, models


def lines(abouts: Mapping[str, Mapping[str, Any]], retrain: Models) -> list[Line]:
    """The lines of every attack that was carried out on retrain, in the order of the attacks."""
    every = dict.fromkeys(line for read in retrain.values() for line in read)
    order = {name: place for place, name in enumerate(abouts)}
    known = sorted(every, key=lambda line: order[line[0]])
    return [_line(of, name, abouts[of]) for of, name in known]


def _line(attack: str, name: str, about: Mapping[str, Any]) -> Line:
    own = (said for begins, said in about.get("injects_by", {}).items() if name.startswith(begins))
    injects = str(next(own, about["injects"]))
    return Line(attack, name, name in about["controls"], injects, about["needs"], about["axis"], about.get("doc", ""))


def seen(line: Line, models: Sequence[Models], unattacked: Sequence[Models]) -> Seen | None:
    """What is read of a line; None where no seed and place has it of all three.

    Args:
        models: the method's, retrain and target. unattacked: the same as they are used.
    """
    key, plain = (line.attack, line.name), (PLAIN, "")
    seeds = tuple(
        s for s in sorted(models[0])
        if all(k in of.get(s, {}) for k, each in ((key, models), (plain, unattacked)) for of in each)
    )  # fmt: skip
    if not seeds:
        return None
    read = [[of[s][key] for s in seeds] for of in models]
    places = tuple(p for p in read[0][0] if all(p in of for by_seed in read for of in by_seed))
    if not places:
        return None
    known = np.array([[[of[p][0] for p in places] for of in by_seed] for by_seed in read])
    before = [[of[s][plain]["", 0.0] for s in seeds] for of in unattacked]
    if np.isnan(known).all():
        return None
    kept_before = float(mean_of(np.concatenate([of[1] for of in before[0]])))
    kept = _filled([[[of[p][1] for p in places] for of in by_seed] for by_seed in (read[0], read[2])])
    return Seen(seeds, places, known, np.array([[of[0] for of in each] for each in before]), kept, kept_before)


def _filled(values: Sequence[Sequence[Sequence[Array]]]) -> Array:
    """[2, S, P, M] of rows that may be empty, which are NaN."""
    sizes = {len(of) for each in values for by_place in each for of in by_place}
    if len(sizes) == 1:
        return np.array(values)
    blank = np.full(max(sizes), np.nan)
    return np.array([[[np.r_[of, blank[len(of) :]] for of in by_place] for by_place in each] for each in values])
