"""The simulations of `docs/simulate.py`, and how far a simulated share may be from its bound."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def script(name: str) -> ModuleType:
    """A script of `docs/` as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def simulate() -> ModuleType:
    """`docs/simulate.py`."""
    return script("simulate")


def slack(share: float, n: int, errors: float = 3.0) -> float:
    """Binomial tolerance: `errors` standard errors of a share that n independent trials estimate."""
    return errors * math.sqrt(share * (1 - share) / n)
