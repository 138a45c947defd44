"""What every task must satisfy, each with what its author can do where it is not met."""

from __future__ import annotations

from bench import registry
from bench.api import Task
from bench.conformance.unmet import Unmet


def of_task(name: str) -> None:
    """What a run of a task needs. The roles of headlines are the board's: a task has those that it has."""
    task: Task = registry.load("task", name)(name)
    where = registry.find("task", name).origin
    data = task.data("embedded")
    if task.name != name:
        raise Unmet(f"{where}: '{name}' calls itself '{task.name}'. Keep the name that it is made with")
    if not data.forget:
        raise Unmet(f"{where}: '{name}' has nothing to forget")
    if set(data.forget) & set(data.retain):
        raise Unmet(f"{where}: pairs of '{name}' are to be forgotten and to be kept")
    taught = set(data.base) | set(data.general)
    if set(data.forget) & taught:
        raise Unmet(f"{where}: what '{name}' shall forget is taught to the retrain model too")
    if set(data.full) != set(data.forget) | set(data.retain):
        raise Unmet("")
    again = registry.load("task", name)(name).data("embedded")
    if data != again:
        raise Unmet(f"{where}: the same source must give the same data. Draw from bench.keys.stream, in a fixed order")
    texts = [(t.set, t.id, t.role, t.index) for t in data.probes.texts]
    prompts = [(p.set, p.id, p.role) for p in data.probes.prompts]
    if not (texts or prompts):
        raise Unmet(f"{where}: '{name}' measures nothing: give it probes")
    for kind, found in (("texts", texts), ("prompts", prompts)):
        if len(set(found)) != len(found):
            raise Unmet(f"{where}: two {kind} of '{name}' have one id. Ids are unique within a set")
    unknown = set(task.scores) - set(registry.names("metric"))
    if unknown:
        raise Unmet(f"{where}: '{name}' names metrics that nobody declares: {', '.join(sorted(unknown))}")
    if not task.headlines:
        raise Unmet(f"{where}: '{name}' has no headlines, so its board would have no column. Name one metric")
    shown = {*task.headlines.values(), *task.floors, *(metric for names in task.details.values() for metric in names)}
    lacking = shown - set(task.scores)
    if lacking:
        raise Unmet(f"{where}: '{name}' shows what it does not score: add {', '.join(sorted(lacking))} to `scores`")
    seen = {pair.answer for pair in (*data.full, *data.base, *data.general)}
    holdout = {t.continuation for t in data.probes.texts if t.set in ("holdout", "nonmember")}
    if holdout & seen:
        raise Unmet(f"{where}: no model may have seen the holdout set of '{name}', and some are taught of it")
