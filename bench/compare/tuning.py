"""What a tuning found, method by method: how good at how many trials, how wide, what was chosen and how well it held.

Every number here is of validation data. A setting counts whatever became of it: one that left no point is worth 0. A
setting that was not yet run on all validation data and seeds of its method is left out until it is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Literal, NamedTuple

from bench import registry
from bench.api import make_task
from bench.compare.analysis import Rules
from bench.compare.headline import ERASED
from bench.compare.numbers import UTILITY as MODEL_UTILITY
from bench.compare.selection import (
    EXTRACTION,
    HEADLINE,
    OBJECTIVES,
    Candidate,
    Choice,
    Objective,
    best_headlines,
    candidates,
    choose,
)
from bench.errors import UsageError
from bench.stats.pareto import front
from bench.stats.tuning import expected_best, hypervolume, width, within_budget
from bench.store.record import CONTROLS, RETRAIN, TARGET
from bench.store.trials import FOLDER, Point, Trial, anchors, read_folder

STOP = "stop"
"""The parameter that a chosen setting stops by, without which it runs to its end."""
COLLAPSED = Rules.collapsed
"""Share of the target's utility below which a run has ruined its model, and where the hypervolume begins."""
DEAR = 2.0
"""How many times the median of all methods' trials one may cost before it is also shown at equal seconds."""
State = Literal["ok", "collapsed", "diverged", "failed"]


class Setting(NamedTuple):
    """One trial over all validation data: what became of it and the best that it had anywhere along its run."""

    number: int
    state: State  # the worst of its runs; collapsed: finished, with less than half of the target's utility
    headline: float  # 0 where it left no point
    rate: float | None  # learning rate
    seconds: float  # that unlearning took, of all its runs


class Spot(NamedTuple):
    """A place where a run might have stopped, by the two numbers of the trade-off."""

    number: int
    share: float
    erased: float
    utility: float  # over the target's, at most 1
    headline: float
    front: bool = False  # whether no other of its method is as good in both and better in one


class Optimism(NamedTuple):
    """How much better a choice looked where it was chosen than it is with seeds that had no part in the choice."""

    headline: float | None  # validation's minus the mean of the fresh runs
    extraction: float | None  # the fresh runs' mean minus validation's: less is better
    runs: int


class Tuned(NamedTuple):
    """A method's tuning. `default` is trial 1 at the end of its run, what a user who tunes nothing has."""

    method: str
    settings: tuple[Setting, ...]
    default: float | None
    expected: tuple[float, ...]  # expected best of 1, 2, .. trials
    width: float
    hypervolume: float
    cloud: tuple[Spot, ...]
    choices: Mapping[Objective, Choice | None]
    optimism: Mapping[Objective, Optimism | None]  # None where the choice was not run again
    at_equal_seconds: Tuned | None = None  # of the trials that fit, where the method is dear

    @property
    def best(self) -> float | None:
        """The best headline of all trials."""
        return self.expected[-1] if self.expected else None

    @property
    def gap(self) -> float | None:
        """What not knowing the answer costs: the oracle's headline minus the deployable choice's."""
        values = [choice.candidate.headline for o in OBJECTIVES if (choice := self.choices[o]) is not None]
        return values[1] - values[0] if len(values) == 2 and all(map(math.isfinite, values)) else None

    @property
    def seconds(self) -> float:
        """Median of a trial."""
        return median(setting.seconds for setting in self.settings) if self.settings else 0.0

    def count(self, state: State) -> int:
        """How many settings ended so."""
        return sum(setting.state == state for setting in self.settings)

    def candidates(self) -> dict[Objective, Candidate]:
        """What was chosen, by objective, where anything was."""
        return {objective: choice.candidate for objective, choice in self.choices.items() if choice is not None}


class Tuning(NamedTuple):
    """All methods tuned for a task and model, by name."""

    data: str
    model: str
    task: str
    validation: tuple[str, ...]  # the data that settings were chosen on
    seeds: tuple[int, ...]
    methods: tuple[Tuned, ...]
    anchors: Mapping[str, Spot]  # target, and retrain where its utility is known

    @property
    def at_equal_seconds(self) -> tuple[Tuned, ...]:
        """The dear methods, of each only the trials that fit into as many seconds as the others' take."""
        return tuple(tuned.at_equal_seconds for tuned in self.methods if tuned.at_equal_seconds is not None)

    def of(self, method: str) -> Tuned | None:
        """A method's tuning; None where it was not tuned."""
        return next((tuned for tuned in self.methods if tuned.method == method), None)


def tunings(results: Path) -> list[Tuning]:
    """Every tuning of a results directory, by data, model and task; none where nothing was tuned.

    Raises:
        BenchError: a file of trials cannot be read.
    """
    found = []
    for folder in sorted(path for path in (results / FOLDER).glob("*/*/*") if path.is_dir()):
        by_method = read_folder(folder)
        if any(method not in CONTROLS for method in by_method):
            data, model, task = folder.parts[-3:]
            found.append(summarise(by_method, data, model.replace("--", "/"), _tasks().get(task, task)))
    return found


def summarise(by_method: Mapping[str, Sequence[Trial]], data: str, model: str, task: str) -> Tuning:
    """A task's tuning from the trials of its methods; those of target and retrain are the anchors."""
    tuned = {method: of_method(method, trials)
             for method, trials in sorted(by_method.items()) if method not in CONTROLS}  # fmt: skip
    tuned = {method: one for method, one in tuned.items() if one.settings}
    usual = median(one.seconds for one in tuned.values()) if tuned else 0.0
    everything = [trial for trials in by_method.values() for trial in trials]
    searched = {(trial.data, trial.seed) for trial in everything if trial.number > 0 and not trial.fresh}
    return Tuning(
        data, model, task,
        tuple(sorted({data for data, _ in searched})),
        tuple(sorted({seed for _, seed in searched})),
        tuple(_with_equal_seconds(one, by_method[method], usual) for method, one in tuned.items()),
        _anchors(task, everything, searched),
    )  # fmt: skip


def of_method(method: str, trials: Iterable[Trial]) -> Tuned:
    """A method's tuning from its trials."""
    known = finished(trials)
    found = candidates(known)
    settings = _settings(known, found)
    cloud = _cloud(known, found)
    values = [setting.headline for setting in settings]
    choices = {objective: choose(objective, known) for objective in OBJECTIVES}
    return Tuned(
        method,
        tuple(settings),
        _default(settings, found),
        tuple(map(float, expected_best(values))),
        width(values),
        hypervolume([(spot.erased, spot.utility) for spot in cloud], COLLAPSED),
        tuple(cloud),
        choices,
        {objective: _optimism(choice, known) for objective, choice in choices.items()},
    )


def _with_equal_seconds(tuned: Tuned, trials: Sequence[Trial], usual: float) -> Tuned:
    """With the same numbers of as many of the first trials as fit where each may take the usual seconds."""
    if tuned.seconds <= DEAR * usual:
        return tuned
    count = within_budget([setting.seconds for setting in tuned.settings], len(tuned.settings) * usual)
    kept = {setting.number for setting in tuned.settings[:count]}
    return tuned._replace(at_equal_seconds=of_method(tuned.method, [t for t in trials if t.number in kept]))


def finished(trials: Iterable[Trial]) -> list[Trial]:
    """The trials of settings that were run on all validation data and seeds of the method, and their fresh runs."""
    trials = [trial for trial in trials if trial.number > 0]
    runs: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for trial in trials:
        if not trial.fresh:
            runs[trial.number].add((trial.data, trial.seed))
    everywhere: set[tuple[str, int]] = set().union(*runs.values())
    return [trial for trial in trials if runs[trial.number] == everywhere]


def _settings(trials: Sequence[Trial], found: Sequence[Candidate]) -> list[Setting]:
    runs: dict[int, list[Trial]] = defaultdict(list)
    for trial in trials:
        if not trial.fresh:
            runs[trial.number].append(trial)
    last = {c.number: c.utility for c in found}  # candidates are in the order of their shares
    return [
        Setting(number, _state(of, last.get(number)), headline, _rate(of[0]),
                math.fsum(run.seconds.get("unlearn", 0.0) for run in of))
        for (number, of), headline in zip(sorted(runs.items()), best_headlines(trials), strict=True)
    ]  # fmt: skip


def _state(runs: Sequence[Trial], utility: float | None) -> State:
    ended = {run.status for run in runs}
    if ended != {"ok"}:
        return "failed" if "failed" in ended else "diverged"
    return "collapsed" if utility is not None and utility < COLLAPSED else "ok"


def _rate(trial: Trial) -> float | None:
    rate = trial.chosen.get("lr", trial.parameters.get("lr"))
    return float(rate) if isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0 else None


def _cloud(trials: Sequence[Trial], found: Sequence[Candidate]) -> list[Spot]:
    """Every candidate that has both numbers, with those that nothing beats marked."""
    erased: dict[tuple[int, float], list[float | None]] = defaultdict(list)
    for trial in trials:
        for point in () if trial.fresh else trial.points:
            erased[trial.number, point.share].append(point.scores.get(ERASED))
    spots: dict[str, Spot] = {}
    for c in found:
        known = [value for value in erased[c.number, c.share] if value is not None]
        if len(known) == len(erased[c.number, c.share]) and math.isfinite(c.utility):
            spots[str(len(spots))] = Spot(c.number, c.share, fmean(known), min(c.utility, 1.0), c.headline)
    best = set(front({name: (spot.erased, spot.utility) for name, spot in spots.items()}))
    return [spot._replace(front=name in best) for name, spot in spots.items()]


def _default(settings: Sequence[Setting], found: Sequence[Candidate]) -> float | None:
    """Headline of trial 1 at the end of its run: 0 where it did not get there, None where it was not tried."""
    ends = [c.headline for c in found if c.number == 1 and c.share == 1 and math.isfinite(c.headline)]
    return next(iter(ends), 0.0) if any(setting.number == 1 for setting in settings) else None


def _optimism(choice: Choice | None, trials: Sequence[Trial]) -> Optimism | None:
    """Of a choice: against the runs of the same setting, stopped at the same place, with fresh seeds.

    One that did not get there has headline 0, and no extraction strength.
    """
    if choice is None:
        return None
    chosen = choice.candidate
    fresh = [t for t in trials if t.fresh and t.number == chosen.number and t.chosen.get(STOP, 1.0) == chosen.share]
    if not fresh:
        return None
    ends = [_at(trial.points, chosen.share) for trial in fresh]
    headlines = [(end.scores.get(HEADLINE) if end else 0.0) for end in ends]
    extractions = [(end.scores.get(EXTRACTION) if end else None) for end in ends]
    return Optimism(
        _minus(chosen.headline, _mean(headlines)), _minus(_mean(extractions), chosen.extraction), len(fresh)
    )


def _at(points: Iterable[Point], share: float) -> Point | None:
    return next((point for point in points if point.share == share), None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _minus(a: float | None, b: float | None) -> float | None:
    difference = a - b if a is not None and b is not None else math.nan
    return difference if math.isfinite(difference) else None


def _anchors(task: str, trials: Sequence[Trial], where: Collection[tuple[str, int]]) -> dict[str, Spot]:
    """Where target and retrain stand: at 0 and at 1 of what is erased, by definition; utility as a mean over `where`.

    Args:
        where: the data and seeds that settings were chosen on.
    """
    scores, utility = anchors(trials), _utility(task)
    shares = []
    for place in where:
        full, own = (scores.get((name, *place), {}).get(utility) for name in CONTROLS)
        shares.append(own / full if own is not None and full else None)
    share = _mean(shares)
    found = {TARGET: Spot(0, 1.0, 0.0, 1.0, 0.0)}
    if share is not None:
        share = min(share, 1.0)
        found[RETRAIN] = Spot(0, 1.0, 1.0, share, 2 * share / (1 + share))
    return found


def _utility(task: str) -> str:
    """The name of a task's utility score; "" where the task is not known here or has none."""
    try:
        return getattr(make_task(task), "headlines", {}).get(MODEL_UTILITY, "")
    except UsageError:
        return ""


def _tasks() -> dict[str, str]:
    """The tasks that are known here, by the name of their folder."""
    return {name.replace(":", "-"): name for name in registry.names("task")}
