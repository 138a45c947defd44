"""What attacks bring back of each method beyond what they bring out of retrain: the rows of a table's attacks.

With s the mean of how much is known of the forget items, u, r and T the method, retrain and target, 0 before the attack
and t after it:

    excess    E = [s_u(t) - s_u(0)] - [s_r(t) - s_r(0)]    paired by item, clustered by author; 0 is the goal
    share     P = [s_u(t) - s_r(t)] / [s_T(0) - s_r(0)]    of the gap, how much is open after the attack

Where something is attached to a model and an attacker takes it off, *before* is the model as it is used. Of an attack
that does not read what a plain question reads there is no before: E is s_u(t) - s_r(t), and the gap that after the
attack.

An attacker takes the setting and the step that serve him best, and a maximum over noisy numbers is too large. So both
are chosen on one half of the authors and read on the other, and the halves change places. Where the attack costs the
model more than a tenth of what it should keep nothing is chosen: a ruined model has given nothing back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from bench.api import Score
from bench.compare.choice import Choice, choose
from bench.compare.clustered import Scored, mean_of, scores
from bench.compare.comparing import Comparison, corrected, tested
from bench.compare.readings import USABLE, Line, Models, Place, Seen, by_model, lines, seen
from bench.compare.speed import Curves, Speed, speeds
from bench.score.estimates import combine, values_of
from bench.store.attacked import BARE, DELIVERED, PLAIN, Attacked
from bench.store.record import CONTROLS, RETRAIN, TARGET, Cell, Record

POWER = 0.5
"""What the target has to know when it is asked that way, for a question to say anything of others."""
ASKING = ("questions", "probabilities")
"""What attackers hold who only ask, in other ways than a model was taught."""
STEPS = "steps"
"""The axis of attacks that train."""
SMALLEST_GAP = 0.05
"""A gap between retrain and target below which no share of it is stated."""
UNSCORED = Score(None)
Array = np.ndarray
Curve = tuple[tuple[float, float, float, float], ...]
"""Steps, and means of the method, retrain and target at them."""
About = Mapping[str, Any]
"""What an attack says of itself."""


@dataclass(frozen=True)
class Recovery:
    """What one line of an attack brings out of one method.

    Attributes:
        form: the method's model, or its weights without what is attached to them.
        seeds: those that the method, target and retrain have.
        before, after: how much is known, means over items and seeds; `before` is None where there is none.
        retrain, target: the same after the same attack.
        excess: E with interval and corrected p; None where no point is usable or the clusters are too few.
        share: P.
        chosen: setting and step, of each half; one where the attack says at which it is read.
        weak: why this says nothing of the method, such as that the target does not answer either; "" if it does.
        curves: by setting, for figures.
        usable: settings and steps at which the model keeps enough.
        powerless: settings at which the target itself knows too little, so that they are not read.
        suppressed: of questions, what the target knows of what should be kept, when it is asked so, less what the
            method knows.
        speed: of an attack in training steps, how fast it brings the answers back; None where there is no curve, or no
            gap to close.
    """

    method: str
    form: str
    line: Line
    seeds: tuple[int, ...]
    before: float | None = None
    after: float | None = None
    retrain: float | None = None
    target: float | None = None
    excess: Comparison | None = None
    share: Score = UNSCORED
    chosen: tuple[Place, ...] = ()
    weak: str = ""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    usable: tuple[Place, ...] = ()
    powerless: tuple[str, ...] = ()
    suppressed: float | None = None
    speed: Speed | None = None

    @property
    def label(self) -> str:
        """The method, and that its hooks are off where they are."""
        return self.method if self.form == DELIVERED else f"{self.method}, {self.form}"


def robustness(records: Mapping[Cell, Record], found: Mapping[Cell, Attacked], margin: float) -> list[Recovery]:
    """Every line of every attack, of every method that was attacked as target and retrain were; by attack, then method.

    Excesses are corrected together (Holm), but for controls and lines that say nothing, which is seen of target and
    retrain alone: those are never shown.

    Args:
        records: of one table.
        found: the attacks of its cells; those on another model than the record's, or done otherwise than on retrain,
            are passed over.
    """
    items, models = by_model(records, found)
    abouts = {name: done["about"] for of in found.values() for name, done in of.done.items()}
    if not items or any((control, DELIVERED) not in models for control in CONTROLS):
        return []
    _, clusters = np.unique([cluster for _, cluster in items], return_inverse=True)
    rows = _counted([*_every_line(models, abouts, clusters)], margin)
    tests = [row.excess for row in rows if row.excess is not None and not row.line.control and not row.weak]
    by = {(c.a, c.metric): c for c in corrected([tests])}
    return [_corrected(row, by) for row in rows]


def _every_line(
    models: Mapping[tuple[str, str], Models], abouts: Mapping[str, About], clusters: Array
) -> Iterator[Read | Recovery]:
    """Every line of every method, by attack, then method; plain questions are one where the hooks are off."""
    target, retrain = models[TARGET, DELIVERED], models[RETRAIN, DELIVERED]
    for line in lines(abouts, retrain):
        for (method, form), own in models.items():
            if method in CONTROLS or (line.attack == PLAIN and form != BARE):
                continue
            of = seen(line, (own, retrain, target), (models.get((method, DELIVERED), {}), retrain, target))
            row = of and _read(Recovery(method, form, line, of.seeds), abouts[line.attack], of, clusters)
            if row is not None:
                yield row


def _corrected(row: Recovery, by: Mapping[tuple[str, str], Comparison]) -> Recovery:
    if row.excess is None:
        return row
    return replace(row, excess=by.get((row.excess.a, row.excess.metric)) or row.excess._replace(p_holm=1.0))


# -- what is read ----------------------------------------------------------------------------------------------------


class Read(NamedTuple):
    """A line of a method where attackers read it; `row` is what is known of it before anything is counted."""

    row: Recovery
    choice: Choice
    has_before: bool  # whether models are asked the same without an attack
    strong: bool  # whether the target answers when it is asked so
    curves: Curves | None  # of an attack that trains, the whole way to there


def _read(row: Recovery, about: About, of: Seen, clusters: Array) -> Read | Recovery | None:
    """A line where attackers read it: its row alone where the model is ruined wherever that is, None where no item is
    scored of all three models."""
    asking = about["needs"] in ASKING
    means = mean_of(of.known, (1, 3))  # [3, P]
    usable = [p for p, keeps in enumerate(of.keeps()) if asking or keeps]
    strong = [p for p in usable if not asking or row.line.control or means[2, p] >= POWER]
    row = replace(
        row, curves=_by_setting(of.places, means), usable=tuple(of.places[p] for p in usable),
        powerless=tuple(dict.fromkeys(of.places[p][0] for p in usable if p not in strong and of.places[p][0])),
    )  # fmt: skip
    if not usable:
        return replace(row, weak=f"costs more than {1 - USABLE:.0%} of what is kept, wherever it is read")
    choice = choose(of, strong or usable, about["at"], clusters)
    if choice is None:
        return None
    has_before = bool(about["from_plain"]) and row.line.name not in about.get("no_before", ())
    curves = choice.curves(of.places, usable) if row.line.axis == STEPS and has_before else None
    suppressed = of.suppressed(choice.places) if asking else None
    chosen = tuple(of.places[p] for p in choice.places)
    row = replace(row, seeds=choice.seeds, chosen=chosen, suppressed=suppressed)
    return Read(row, choice, has_before, bool(strong), curves)


def _by_setting(places: Sequence[Place], means: Array) -> dict[str, Curve]:
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for (setting, step), (own, retrain, target) in zip(places, means.T.tolist(), strict=True):
        found.setdefault(setting, []).append((step, own, retrain, target))
    return {setting: tuple(sorted(of)) for setting, of in found.items()}


# -- what is counted -------------------------------------------------------------------------------------------------


def _counted(read: Sequence[Read | Recovery], margin: float) -> list[Recovery]:
    """The rows, in their order; lines that score the same items in the same seeds are counted together."""
    alike: dict[object, dict[int, Read]] = {}
    rows: dict[int, Recovery] = {}
    for i, of in enumerate(read):
        if isinstance(of, Recovery):
            rows[i] = of
        else:
            alike.setdefault((of.choice.seeds, of.choice.scored.same), {})[i] = of
    for some in alike.values():
        rows |= zip(some, _of_same_items(list(some.values()), margin), strict=True)
    return [rows[i] for i in range(len(read))]


def _of_same_items(read: Sequence[Read], margin: float) -> list[Recovery]:
    """Levels, excess, share and speed of lines that score the same items in the same seeds."""
    scored = read[0].choice.scored
    at, before = np.stack([of.choice.at for of in read]), np.stack([of.choice.before for of in read])  # [R, 3, S, N]
    has_before = np.array([of.has_before for of in read])[:, None, None, None]
    excesses = _excesses([of.row for of in read], np.where(has_before, at - before, at), scored, margin)
    shares = _shares(at, np.where(has_before, before, at), scored)
    were = scored.mean(before).tolist()
    curves = {i: of.curves for i, of in enumerate(read) if of.curves is not None and shares[i].value is not None}
    told = dict(zip(curves, speeds([*curves.values()], [were[i][1:] for i in curves], scored), strict=True))
    levels = enumerate(zip(read, scored.mean(at).tolist(), strict=True))
    return [
        replace(
            of.row, before=were[i][0] if of.has_before else None, after=after, retrain=retrain, target=target,
            excess=excesses.get(i), share=shares[i], weak=_weak(of, retrain, target), speed=told.get(i),
        )
        for i, (of, (after, retrain, target)) in levels
    ]  # fmt: skip


def _weak(of: Read, retrain: float, target: float) -> str:
    """Why a line says nothing of the method; "" if it does."""
    if not of.strong:
        return f"the target itself knows {target:.2f} when it is asked so"
    if not of.row.line.control and target - retrain < SMALLEST_GAP:
        return "it does not tell target from retrain"
    return ""


def _excesses(rows: Sequence[Recovery], gains: Array, scored: Scored, margin: float) -> dict[int, Comparison]:
    """E of each row that has clusters enough, from gains [R, 3, S, N]."""
    own, other = (scored.estimates(gains[:, who]) for who in (0, 1))
    values = np.concatenate([values_of(own), values_of(other)], axis=-1)
    bound = np.where(((values >= 0) & (values <= 1)).all(axis=-1), 1.0, np.inf)  # shares differ by 1 at most
    names = [(row.method, RETRAIN, _metric(row), row.seeds) for row in rows]
    found = {(c.a, c.metric): c for c in tested(names, own, other, bound, margin)}
    return {i: found[a, metric] for i, (a, _, metric, _) in enumerate(names) if (a, metric) in found}


def _metric(row: Recovery) -> str:
    """What a comparison is called."""
    return " / ".join(filter(None, (row.line.attack, row.line.name, row.form)))


def _shares(at: Array, before: Array, scored: Scored) -> list[Score]:
    """P of each row over seeds with its interval, from what is known after and before the attack [R, 3, S, N]."""
    gaps = before[:, 2] - before[:, 1]
    wide = scored.mean(gaps) >= SMALLEST_GAP
    found = [Score(None, note=f"target and retrain are within {SMALLEST_GAP:g} of each other")] * len(at)
    open_ = (at[:, 0] - at[:, 1])[wide]
    by_seed = [combine(np.divide, *each) for each in zip(*map(scored.estimates, (open_, gaps[wide])), strict=True)]
    for i, score in zip(np.flatnonzero(wide), scores(by_seed), strict=True):
        found[i] = score
    return found
