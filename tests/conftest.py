"""What several tests share: one thread (the suite runs in parallel), and the folder of real data where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real TOFU and LUME; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the real data is not here")
    return SHARED
