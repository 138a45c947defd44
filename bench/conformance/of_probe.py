"""What every probe must satisfy, each with what its author can do where it is not met."""

from __future__ import annotations

from collections.abc import Iterator

from bench import registry
from bench.api import Probe, Probes, make_task
from bench.conformance.of_task import measures_once
from bench.conformance.unmet import Demand, Unmet
from bench.score.scoring import build

TASK = "tofu:forget10"
"""Whose embedded world a probe is tried on."""


def demands(name: str) -> Iterator[Demand]:
    """What a run that asks for a probe needs of it."""
    at = registry.find("probe", name)
    yield Demand("it can be imported", lambda: registry.load("probe", name)(), at, opens=True)
    probe: Probe = registry.load("probe", name)()
    yield Demand("it says what it is, and which metrics it makes possible", lambda: _says(probe, name), at, opens=True)
    probes = make_task(TASK).data("embedded").probes
    yield Demand(f"it asks something of {TASK}, the same each time", lambda: _repeats(probe, probes), at, opens=True)
    yield Demand("it asks each item once, in sets of its own", lambda: _stays_apart(probe, probes, name), at)
    yield Demand("its metrics find what they read", lambda: _metrics_find_their_sets(probe, probes), at)


def of_probe(name: str) -> None:
    """Raise what the first demand raises that the probe does not meet."""
    for demand in demands(name):
        demand.meet()


def _says(probe: Probe, name: str) -> None:
    if not registry.find("probe", name).doc:
        raise Unmet(f"say in the docstring of '{name}' what it asks")
    if not isinstance(getattr(probe, "metrics", None), tuple) or not probe.metrics:
        raise Unmet(f"name the metrics that '{name}' makes possible: metrics: ClassVar = (\"my_metric\",)")
    if unknown := set(probe.metrics) - set(registry.names("metric")):
        raise Unmet(f"nobody declares the metric {', '.join(sorted(unknown))}. Declare it in the same file")


def _repeats(probe: Probe, probes: Probes) -> None:
    asked = probe.ask(probes)
    if not isinstance(asked, Probes):
        raise Unmet(f"its `ask` returns {type(asked).__name__}. Return Probes(texts, prompts)")
    if asked != probe.ask(probes):
        raise Unmet("it asks something else each time. Draw from bench.keys.stream, in a fixed order")


def _stays_apart(probe: Probe, probes: Probes, name: str) -> None:
    asked = probe.ask(probes)
    measures_once(asked, f"'{name}'")
    own = {t.set for t in asked.texts} | {p.set for p in asked.prompts}
    if taken := own & ({t.set for t in probes.texts} | {p.set for p in probes.prompts}):
        raise Unmet(
            f"the set {', '.join(sorted(taken))} is the task's own, whose numbers must stay as they are. Give your "
            "items a set of another name"
        )


def _metrics_find_their_sets(probe: Probe, probes: Probes) -> None:
    asked = probe.ask(probes)
    there = {item.set for both in (probes, asked) for item in both.texts}
    there |= {item.set for both in (probes, asked) for item in both.prompts}
    for metric in map(build, probe.metrics):
        if lacking := {wanted for wanted, _ in metric.needs} - there:
            raise Unmet(
                f"the metric {metric.title} reads the set {', '.join(sorted(lacking))}, which nobody measures. There "
                f"are: {', '.join(sorted(there))}"
            )
