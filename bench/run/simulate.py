"""A run played through on machines that are not here: how long it takes them, and how long they stand idle."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bench.errors import UsageError


@dataclass(frozen=True)
class Cluster:
    """Machines that are alike.

    Attributes:
        nodes, gpus: how many, and places of each: accelerators, or processes where there are none.
        memory: of a place, GB; a job that takes more has several places of one node.
        speed: how many times as fast a place is as this machine, for which jobs are estimated.
    """

    nodes: int = 1
    gpus: int = 1
    memory: float = math.inf
    speed: float = 1.0


def cluster(words: str) -> Cluster:
    """The machines that "nodes=16,gpus=8,memory=80,speed=40" describes; what is not named is 1, memory unbounded.

    Raises:
        UsageError: another word, or no number above 0.
    """
    found: dict[str, float] = {}
    for word in filter(None, (w.strip() for w in words.split(","))):
        name, _, number = word.partition("=")
        if name not in Cluster.__dataclass_fields__ or name in found:
            raise UsageError(
                f"--simulate {words}: '{word}' is none of nodes=, gpus=, memory= (GB) and speed=, each once."
            )
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not found[name] > 0 or (name in ("nodes", "gpus") and found[name] != int(found[name])):
            raise UsageError(f"--simulate {words}: {name}={number} is no number of {name}. Write nodes=16,gpus=8.")
    nodes, gpus = (int(found.get(name, 1)) for name in ("nodes", "gpus"))
    return Cluster(nodes, gpus, found.get("memory", math.inf), found.get("speed", 1.0))


class Step(Protocol):
    """A job: what it is called, and what has to be done before."""

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[str]: ...


class Cost(NamedTuple):
    """What a job takes on this machine."""

    seconds: float
    bytes: int


class Played(NamedTuple):
    """How a run goes.

    Attributes:
        seconds: until all is done.
        longest: of the longest chain of jobs that need one another: no cluster is faster.
        busy: seconds of places at work, summed.
        idle: share of all places' time in which they stand idle.
    """

    seconds: float
    longest: float
    busy: float
    idle: float


def play(jobs: Sequence[Step], costs: Mapping[str, Cost], on: Cluster) -> Played:
    """Each job in its turn where a node has room, after what it needs, as the executors do; what has no cost is there.

    Raises:
        UsageError: a job takes more than a node has.
    """
    width = {name: max(1, math.ceil(cost.bytes / 1e9 / on.memory)) for name, cost in costs.items()}
    if (worst := max(width, key=lambda name: width[name], default=None)) and width[worst] > on.gpus:
        raise UsageError(
            f"--simulate: {worst} takes {costs[worst].bytes / 1e9:.0f} GB, {width[worst]} places of {on.memory:g} GB, "
            f"and a node has {on.gpus}. Name larger machines: gpus=, memory=."
        )
    seconds = {job.name: costs[job.name].seconds / on.speed if job.name in costs else 0.0 for job in jobs}
    unmet = {job.name: len(job.needs & seconds.keys()) for job in jobs}
    wanted_by: dict[str, list[int]] = defaultdict(list)
    for place, job in enumerate(jobs):
        for need in job.needs:
            wanted_by[need].append(place)
    ready = [place for place, job in enumerate(jobs) if not unmet[job.name]]
    free: list[int] = [on.gpus] * on.nodes
    now, busy = 0.0, 0.0
    ends: list[tuple[float, int, int]] = []
    heapq.heapify(ready)
    while ready or ends:
        waiting = []
        while ready and any(free):
            place = heapq.heappop(ready)
            name = jobs[place].name
            wide = width.get(name, 1)
            node = max(range(on.nodes), key=lambda each: free[each])
            if free[node] < wide:
                waiting.append(place)
                continue
            free[node] -= wide
            busy += wide * seconds[name]
            heapq.heappush(ends, (now + seconds[name], place, node))
        for place in waiting:
            heapq.heappush(ready, place)
        if not ends:
            raise ValueError("jobs need one another in a circle")
        now, place, node = heapq.heappop(ends)
        name = jobs[place].name
        free[node] += width.get(name, 1)
        for other in wanted_by[name]:
            unmet[jobs[other].name] -= 1
            if not unmet[jobs[other].name]:
                heapq.heappush(ready, other)
    whole = now * on.nodes * on.gpus
    return Played(now, _longest(jobs, seconds), busy, 1 - busy / whole if whole else 0.0)


def _longest(jobs: Sequence[Step], seconds: Mapping[str, float]) -> float:
    """Of the longest chain; jobs stand behind what they need."""
    until: dict[str, float] = {}
    for job in jobs:
        until[job.name] = seconds[job.name] + max((until[need] for need in job.needs if need in until), default=0.0)
    return max(until.values(), default=0.0)
