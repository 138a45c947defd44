"""The clock of the benchmarks: what it writes down, and when it judges."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.benchmarks._timing import Clock, Load, Spent, load, spent


def test_sleeping_takes_no_processor_and_counting_does() -> None:
    found, asleep = spent(lambda: time.sleep(0.05))
    assert found is None and asleep.wall >= 0.05 and asleep.cpu < 0.04
    total, awake = spent(lambda: sum(range(10**6)))
    assert total == 10**6 * (10**6 - 1) // 2 and 0 < awake.cpu <= awake.wall + 0.01


def test_medians_of_every_side_are_written_down() -> None:
    info: dict[str, Any] = {}
    clock = Clock(info, lambda: Load(0.7, 0.02))
    for took in (Spent(3.0, 1.0), Spent(9.0, 8.0), Spent(4.0, 2.0)):
        clock.add("ours", took)
    assert clock.time("theirs", lambda: "result") == "result"
    clock.only_if_quiet()  # an average lags, so it does not count
    clock.record()
    assert (info["ours, wall seconds"], info["ours, CPU seconds"]) == (4.0, 2.0)
    assert info["theirs, CPU seconds"] <= info["theirs, wall seconds"] + 0.01
    assert (info["load average a core at the start"], info["others' cores at the start"]) == (0.7, 0.02)


@pytest.mark.parametrize("before, after", [(0.5, 0.0), (0.0, 0.5)])
def test_a_busy_machine_is_not_judged_on(before: float, after: float) -> None:
    loads, info = iter([Load(0.0, before), Load(0.0, after)]), dict[str, Any]()
    clock = Clock(info, lambda: next(loads))
    clock.add("ours", Spent(3.0, 1.0))
    with pytest.raises(pytest.skip.Exception, match="50% of this machine's cores"):
        clock.only_if_quiet()
    assert info["ours, CPU seconds"] == 1.0


def test_the_load_is_a_share_of_the_cores() -> None:
    assert 0 <= load().others <= 1
