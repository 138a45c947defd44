"""A run whose nodes share no folder: what lies at a URL is all that they have of one another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main
from bench.store import remote
from tests.e2e.conftest import write_world
from tests.e2e.test_kills import scores

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
WORDS = ("run", "--methods", "fo-npo,simu-npo", "--tasks", "tofu:forget10", "--seeds", "0")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Any]:
    """A head without processors and two nodes of one each, with homes of their own."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for home in ("a", "b"):
        made.add_node(num_cpus=1, env_vars={"XDG_CACHE_HOME": str(tmp_path / home)})
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def test_nodes_that_share_nothing_make_what_one_machine_makes(nodes, tmp_path, monkeypatch):
    data = ("--data", str(write_world(tmp_path / "world" / "tofu").parent))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "driver"))
    url = f"file://{tmp_path / 'afar'}"
    ray_ = ("--executor", "ray", "--address", nodes.address)
    assert main([*WORDS, *data, "--results", url, *ray_]) == 0
    assert not [*Path().iterdir()], "nothing lies where the command was typed"
    mirrors = {name: next((tmp_path / name / "unlearning-bench").iterdir()) for name in ("driver", "a", "b")}
    made = {name: {path.name for path in mirror.glob("files/**/*.json")} for name, mirror in mirrors.items()}
    assert made["a"] and made["b"], "both nodes worked"
    assert made["driver"] >= made["a"] | made["b"] and len(made["driver"]) == 4
    assert (tmp_path / "afar" / "leaderboard.md").is_file()
    assert not [*(mirrors["driver"] / remote.MODELS).glob("*")], "models are made by the nodes"
    assert len([*(tmp_path / "afar" / remote.CACHE).glob("attribution-*.npz")]) == 1
    assert main([*WORDS, *data, "--results", str(tmp_path / "plain"), "--cache", str(tmp_path / "cache")]) == 0
    assert scores(mirrors["driver"]) == scores(tmp_path / "plain")
