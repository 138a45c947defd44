"""Tuning: the same number of trials for every method on data that no test sees, and the settings that are chosen.

Trials are jobs like the cells of a run, kept one by one (`bench.store.trials`), so that a tuning goes on where it was
left and several processes share one. What a trial is: `bench.run.trial`; what is searched: `bench.run.space`; how a
setting is chosen: `bench.compare.selection`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.api import make_task
from bench.compare.selection import OBJECTIVES, Choice, choose
from bench.errors import UsageError
from bench.run.compose import compose
from bench.run.executors import Hire, execute
from bench.run.grid import check_texts, prepare_jobs
from bench.run.jobs import Job, Lost
from bench.run.pace import Pace, words
from bench.run.plan import Request, prepared, splits
from bench.run.space import draws, space
from bench.run.trial import LATER, Tried, give_up, identity, run_trial
from bench.run.trial import known as known
from bench.store import trials
from bench.store.record import RETRAIN, TARGET
from bench.store.trials import Trial

Say = Callable[[str], None]
FRESH = (1, 2)
"""Seeds with which a chosen setting is run again: what of its score was luck shows there."""


@dataclass(frozen=True)
class Tuning:
    """What is asked for: every method on every task, so many trials each.

    Attributes:
        request: of the test; validation data stand in its place wherever a model is run.
        seed: of the sequence that settings are drawn from.
        worlds: how many validation data each setting is run on, where there are several.
    """

    request: Request
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    trials: int
    seed: int = 0
    worlds: int = 1

    def folder(self, task: str) -> Path:
        """Where the trials of a task lie."""
        return trials.folder(self.request.results, self.request.data, self.request.model_label, task)

    def file(self, task: str, method: str) -> Path:
        """The file of a method's trials on a task."""
        return trials.path(self.folder(task), method)


def validation(request: Request, task: str, worlds: int) -> list[Request]:
    """The requests for the validation data of a task.

    Raises:
        UsageError: the task has none, or its forget set is not apart from the test's.
    """
    found = getattr(make_task(task), "validation", None)
    if found is None:
        raise UsageError(
            f"{task} has no data to tune on: its class has no `validation(source, count)`. Give it one that names data "
            "whose forget set shares nothing with the test's."
        )
    made = [dataclasses.replace(request, source=source) for source in found(request.source, worlds)]
    forgotten = {(pair.prompt, pair.answer) for pair in splits(task, request.source).forget}
    for one in made:
        own = splits(task, one.source)
        if both := forgotten & {(pair.prompt, pair.answer) for pair in own.full}:
            raise UsageError(
                f"{task}: the validation data {one.data} overlap the test: {len(both)} of its forget pairs, such as "
                f"'{min(both)[0]}'. Settings chosen there would have seen what they are judged by."
            )
    return made


def planned(tuning: Tuning) -> list[Tried]:
    """Every trial of a tuning and the anchors before them, in the order of trial numbers.

    Raises:
        UsageError: what `space` and `validation` refuse; trials that are there and were made from something else.
    """
    found: list[Tried] = []
    for task in tuning.tasks:
        where = validation(tuning.request, task, tuning.worlds)
        found += anchors(tuning, task, where, [0])
        settings = {m: draws(space(m, tuning.request.model, task), tuning.trials, tuning.seed) for m in tuning.methods}
        for number in range(1, tuning.trials + 1):
            for method in tuning.methods:
                found += [_tried(tuning, one, task, method, number, settings[method][number - 1]) for one in where]
    _refuse_others(found)
    return found


def anchors(tuning: Tuning, task: str, where: Sequence[Request], seeds: Iterable[int]) -> list[Tried]:
    """Target and retrain of the validation data, which every trial is measured between."""
    return [
        _tried(tuning, one, task, name, 0, {}, seed) for seed in seeds for one in where for name in (TARGET, RETRAIN)
    ]


def _tried(
    tuning: Tuning, request: Request, task: str, method: str, number: int, chosen: dict[str, Any], seed: int = 0,
    fresh: bool = False,
) -> Tried:  # fmt: skip
    composed = compose(method, request.model, chosen, task, request.settings, request.source)
    start = prepared(request, task, composed.method.start, seed)
    return Tried(request, task, composed, start, tuning.file(task, method), number, seed, chosen, fresh)


def _refuse_others(found: Sequence[Tried]) -> None:
    """Raise `UsageError` where a trial that is there was made from something else than it would be now."""
    for file in dict.fromkeys(tried.file for tried in found):
        there = {(t.number, t.data, t.seed): t for t in trials.read(file) if not t.fresh}
        for tried in (t for t in found if t.file == file):
            old = there.get((tried.number, tried.request.data, tried.seed))
            if old is None:
                continue
            now = identity(tried)
            then = {**{name: now[name] for name in LATER}, **old.identity}
            changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
            changed += _unlike(old.parameters, tried.composed.said, set(tried.chosen))
            changed += ["the setting (another seed or space)"] * (dict(old.chosen) != dict(tried.chosen))
            if changed:
                raise UsageError(
                    f"{file} holds trials of something else: trial {old.number} was made with other "
                    f"{', '.join(changed)}. Move the file away, or tune into another --results."
                )


def _unlike(then: Mapping[str, Any], now: Mapping[str, Any], but: Collection[str]) -> list[str]:
    """The parameters that were otherwise, of those that are not searched."""
    old, new = ({name: json.dumps(value) for name, value in of.items() if name not in but} for of in (then, now))
    return [f"parameter {name}" for name in {**old, **new} if old.get(name) != new.get(name)]


def run(tuning: Tuning, workers: int, say: Say, hire: Hire | None = None) -> None:
    """Run every trial that is not there, then what was chosen once more with fresh seeds.

    Trials that another process is at are waited for.
    """
    todo = [tried for tried in planned(tuning) if known(tried) is None]
    _execute(_jobs(todo), workers, say, hire)
    fresh = [tried for task in tuning.tasks for tried in _fresh(tuning, task)]
    _execute(_jobs([tried for tried in fresh if known(tried) is None]), workers, say, hire)


def _fresh(tuning: Tuning, task: str) -> list[Tried]:
    """The chosen settings of a task with seeds that had no part in the choice, and their anchors."""
    where = validation(tuning.request, task, tuning.worlds)
    found: list[Tried] = anchors(tuning, task, where, FRESH)
    for method in tuning.methods:
        for number, setting in _settings(tuning, task, method).items():
            found += [
                _tried(tuning, one, task, method, number[0], setting, seed, True) for seed in FRESH for one in where
            ]
    return found


def _settings(tuning: Tuning, task: str, method: str) -> dict[tuple[int, float], dict[str, Any]]:
    """What was chosen of a method by either objective: its parameters, and where to stop."""
    made = trials.read(tuning.file(task, method))
    found = {}
    for objective in OBJECTIVES:
        if choice := choose(objective, made):
            found[choice.candidate.number, choice.candidate.share] = setting(choice, made)
    return found


def setting(choice: Choice, made: Sequence[Trial]) -> dict[str, Any]:
    """The parameters of a choice; the place to stop among them unless it is the end."""
    chosen = next(t.chosen for t in made if t.number == choice.candidate.number and not t.fresh)
    stop = {} if choice.candidate.share == 1.0 else {"stop": choice.candidate.share}
    return {**chosen, **stop}


def _jobs(todo: Sequence[Tried]) -> list[Job]:
    """A job for each model that trials start from and for each trial, which needs its anchors."""
    models: dict[str, Job] = {}
    for request in {id(t.request): t.request for t in todo}.values():
        own = [t.start for t in todo if t.request is request]
        check_texts(request, own)
        models |= prepare_jobs(request, own)
    names = {(t.task, t.request.data, t.seed, t.composed.method.name): t.name for t in todo if t.number == 0}
    jobs = list(models.values())
    for tried in todo:
        place = tried.task, tried.request.data, tried.seed
        between = [names.get((*place, control)) for control in (TARGET, RETRAIN)] if tried.number else []
        needs = frozenset({models[tried.start.key].name, *filter(None, between)})
        kind = ("tried", tried.task, tried.composed.method.name)
        jobs.append(Job(tried.name, run_trial, (tried,), needs, kind))
    return jobs


def _execute(jobs: Sequence[Job], workers: int, say: Say, hire: Hire | None) -> None:
    pace, count = Pace(jobs, workers), 0

    def ended(job: Job, result: Any, error: BaseException | None) -> bool:
        nonlocal count
        count += 1
        tried = job.arguments[0]
        if isinstance(error, Lost) and isinstance(tried, Tried) and tried.number:
            give_up(tried)
        left = words(pace.left() if count < len(jobs) else None)
        say("; ".join(filter(None, [f"[{count}/{len(jobs)}] {_said(job, result, error)}", left])))
        return error is None

    execute(jobs, min(workers, max(1, len(jobs))), ended, False, pace, hire=hire)


def _said(job: Job, result: Any, error: BaseException | None) -> str:
    if error is not None:
        return f"{job.name}: failed: {error}"
    if not isinstance(result, Trial):
        return f"{job.name}: done"
    if result.status != "ok":
        return f"{job.name}: {result.status}: {result.error.strip().splitlines()[-1]}"
    best = max((p.scores.get("headline") or 0.0 for p in result.points), default=0.0)
    setting = ", ".join(f"{name} {value}" for name, value in result.chosen.items())
    return f"{job.name}: {f'{setting}: best headline {best:.2f}' if result.number else 'measured'}"


def spaces(tuning: Tuning) -> list[str]:
    """What is searched of each method on each task, a line each."""
    model = tuning.request.model
    return [f"{task}  {method}: {'; '.join(map(str, space(method, model, task)))}"
            for task in tuning.tasks for method in tuning.methods]  # fmt: skip
