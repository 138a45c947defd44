"""What all benchmarks share: the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.benchmarks._timing import Clock


@pytest.fixture
def clock(benchmark: Any) -> Iterator[Clock]:
    """Times the sides of a benchmark; what it finds stands in the benchmark's `extra_info`."""
    found = Clock(benchmark.extra_info)
    yield found
    found.record()
