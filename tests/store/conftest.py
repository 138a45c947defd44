from __future__ import annotations

from pathlib import Path

import pytest

from bench.store import remote


@pytest.fixture
def afar(tmp_path, monkeypatch):
    """The folder of a place afar, and a function that gives the mirror of a machine."""
    url = f"file://{tmp_path / 'afar'}"

    def machine(name: str) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        return remote.mirror(url)

    return tmp_path / "afar", machine
