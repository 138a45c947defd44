"""What several tests share: one thread (the suite runs in parallel), and the folder of real data where there is one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import keys, plugins, registry
from bench.api import make_task
from bench.run import provenance
from bench.score import scoring

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED = next((at for up in Path(__file__).resolve().parents[2:4] if (at := up / "shared" / "data").is_dir()), None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real TOFU and LUME; the test is skipped where it is absent. Mutants run one folder deeper."""
    if SHARED is None:
        pytest.skip("the real data is not here")
    return SHARED


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """Nothing of what a test plugs in is there for the next."""
    modules = {*sys.modules}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins.VARIABLE, "")
        patch.setattr(sys, "path", [*sys.path])
        registry.scan.cache_clear()
        yield
    for name in {*sys.modules} - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    registry.scan.cache_clear()
    for key in registry._things.keys() - registry.scan().keys():
        del registry._things[key]
    for remembered in (keys.source_hash, provenance._files, scoring.scores_of, scoring.find, make_task):
        remembered.cache_clear()
