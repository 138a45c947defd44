"""What every task must satisfy, each with what its author can do where it is not met."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import registry
from bench.api import NEIGHBOURS, Probes, Splits, Task
from bench.conformance.unmet import Demand, Unmet
from bench.metrics._exam import EXAM
from bench.score.scoring import build


def demands(name: str) -> Iterator[Demand]:
    """What a run of a task needs. The roles of headlines are the board's: a task has those that it has."""
    at = registry.find("task", name)
    yield Demand("it can be imported", lambda: registry.load("task", name)(name), at, opens=True)
    task: Task = registry.load("task", name)(name)
    yield Demand("it keeps its name", lambda: _keeps_its_name(task, name), at)
    with TemporaryDirectory() as folder:
        sample = getattr(task, "sample", None)
        source = "embedded" if sample is None else sample(Path(folder))
        yield Demand("it has data, the same each time", lambda: _repeats(task, name, source), at, opens=True)
        data = task.data(source)
    yield Demand("what is forgotten is neither kept nor taught otherwise", lambda: _keeps_sets_apart(data, name), at)
    yield Demand("it measures something, each item once", lambda: measures_once(data.probes, f"'{name}'"), at)
    yield Demand("its metrics are declared, and it scores what it shows", lambda: _scores_what_it_shows(task), at)
    yield Demand("its headlines find what they read", lambda: _headlines_find_their_sets(task, data), at)
    yield Demand("nobody was taught its holdout set", lambda: _holds_out(data, name), at)


def of_task(name: str) -> None:
    """Raise what the first demand raises that the task does not meet."""
    for demand in demands(name):
        demand.meet()


def _keeps_its_name(task: Task, name: str) -> None:
    if task.name != name:
        raise Unmet(f"'{name}' calls itself '{task.name}'. Keep the name that it is made with")


def _repeats(task: Task, name: str, source: str) -> None:
    if task.data(source) != registry.load("task", name)(name).data(source):
        raise Unmet("the same source must give the same data. Draw from bench.keys.stream, in a fixed order")


def _keeps_sets_apart(data: Splits, name: str) -> None:
    if not data.forget:
        raise Unmet(f"'{name}' has nothing to forget")
    if set(data.forget) & set(data.retain):
        raise Unmet(f"pairs of '{name}' are to be forgotten and to be kept")
    if set(data.forget) & (set(data.base) | set(data.general)):
        raise Unmet(f"what '{name}' shall forget is taught to the retrain model too")
    if unknown := {text.set for text in data.neighbours.texts} - set(NEIGHBOURS):
        raise Unmet(f"neighbours of '{name}' stand in {', '.join(sorted(unknown))}. Known: {', '.join(NEIGHBOURS)}")
    forgotten = {(pair.prompt, pair.answer) for pair in data.forget}
    if forgotten & {(text.prompt, text.continuation) for text in data.neighbours.texts if text.role == "answer"}:
        raise Unmet(f"neighbours of '{name}' are to be forgotten: they are what should be kept")
    if not data.corpus:
        raise Unmet(f"'{name}' has no corpus, so that a model from scratch has no tokenizer. Name texts in its words")


def measures_once(probes: Probes, who: str) -> None:
    """Something is measured, and nothing twice."""
    texts = [(t.set, t.id, t.role, t.index) for t in probes.texts]
    prompts = [(p.set, p.id, p.role) for p in probes.prompts]
    if not (texts or prompts):
        raise Unmet(f"{who} measures nothing: give it probes")
    for kind, found in (("texts", texts), ("prompts", prompts)):
        if len(set(found)) != len(found):
            raise Unmet(f"two {kind} of {who} have one id. Ids are unique within a set")


def _scores_what_it_shows(task: Task) -> None:
    unknown = {metric for metric in task.scores if not metric.startswith(EXAM)} - set(registry.names("metric"))
    if unknown:
        raise Unmet(f"'{task.name}' names metrics that nobody declares: {', '.join(sorted(unknown))}")
    if not task.headlines:
        raise Unmet(f"'{task.name}' has no headlines, so its board would have no column. Name one metric")
    shown = {*task.headlines.values(), *task.floors, *(metric for names in task.details.values() for metric in names)}
    if lacking := shown - set(task.scores):
        raise Unmet(f"'{task.name}' shows what it does not score: add {', '.join(sorted(lacking))} to `scores`")


def _headlines_find_their_sets(task: Task, data: Splits) -> None:
    probes = data.probes
    there = {t.set for t in probes.texts} | {p.set for p in probes.prompts} | {e.set for e in probes.exams}
    for metric in map(build, task.headlines.values()):
        lacking = {wanted for wanted, _ in metric.needs} - there - set(getattr(metric, "may_lack", ()))
        if lacking:
            raise Unmet(
                f"the headline {metric.title} reads the set {', '.join(sorted(lacking))}, which '{task.name}' does not "
                f"measure. Its probes have: {', '.join(sorted(there))}"
            )


def _holds_out(data: Splits, name: str) -> None:
    seen = {pair.answer for pair in (*data.full, *data.base, *data.general)}
    holdout = {t.continuation for t in data.probes.texts if t.set in ("holdout", "nonmember")}
    if holdout & seen:
        raise Unmet(f"no model may have seen the holdout set of '{name}', and some are taught of it")
