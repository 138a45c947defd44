"""A schedule played through: against what is known by hand, and against bounds that hold for every one."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from bench.errors import UsageError
from bench.run.simulate import Cluster, Cost, cluster, play


def job(name: str, *needs: str) -> Any:
    return SimpleNamespace(name=name, needs=frozenset(needs))


def test_places_work_side_by_side_and_stand_idle_while_one_job_is_waited_for():
    jobs = [job("base"), *(job(str(n), "base") for n in range(4))]
    played = play(jobs, {j.name: Cost(10.0, 0) for j in jobs}, Cluster(nodes=2, gpus=2))
    assert (played.seconds, played.longest, played.busy) == (20, 20, 50)
    assert played.idle == pytest.approx(1 - 50 / 80)
    assert play(jobs, {j.name: Cost(10.0, 0) for j in jobs}, Cluster(speed=5)).seconds == 10


def test_a_job_that_needs_more_memory_takes_several_places_of_one_node():
    jobs = [job("large"), job("small")]
    costs = {"large": Cost(10.0, int(150e9)), "small": Cost(1.0, int(10e9))}
    assert play(jobs, costs, Cluster(nodes=1, gpus=2, memory=80)).seconds == 11
    assert play(jobs, costs, Cluster(nodes=1, gpus=3, memory=80)).seconds == 10
    with pytest.raises(UsageError, match="large takes 150 GB, 2 places of 80 GB, and a node has 1"):
        play(jobs, costs, Cluster(nodes=2, gpus=1, memory=80))


def test_what_is_there_already_takes_nothing():
    assert play([job("kept"), job("cell", "kept")], {"cell": Cost(3.0, 0)}, Cluster()).seconds == 3


@pytest.mark.parametrize("seed", range(20))
def test_no_schedule_beats_its_chain_or_its_work_and_a_greedy_one_is_within_twice_both(seed: int):
    """Graham's bound for list scheduling: at most work / places + longest chain."""
    draw = random.Random(seed)
    jobs: list[Any] = []
    for n in range(60):
        jobs.append(job(str(n), *(str(draw.randrange(n)) for _ in range(draw.randrange(3)) if n)))
    costs = {j.name: Cost(draw.uniform(0.1, 10), 0) for j in jobs}
    on = Cluster(nodes=draw.randint(1, 4), gpus=draw.randint(1, 4))
    played, places = play(jobs, costs, on), on.nodes * on.gpus
    work = sum(cost.seconds for cost in costs.values())
    assert played.busy == pytest.approx(work)
    assert played.seconds >= max(played.longest, work / places) - 1e-9
    assert played.seconds <= work / places + played.longest + 1e-9
    assert played.idle == pytest.approx(1 - work / places / played.seconds)


def test_machines_are_said_in_words():
    assert cluster("nodes=16, gpus=8,memory=80,speed=40.5") == Cluster(16, 8, 80.0, 40.5)
    assert cluster("nodes=2") == Cluster(2)


@pytest.mark.parametrize("words", ["nodes", "nodes=0", "nodes=1.5", "cards=3", "gpus=-1", "nodes=2,nodes=3", "gpus=x"])
def test_other_words_say_what_to_write(words: str):
    with pytest.raises(UsageError, match="--simulate"):
        cluster(words)
