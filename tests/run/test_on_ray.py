"""Jobs on a Ray cluster of two nodes: after what they need, again where a node dies, given up on in the end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError, UsageError
from bench.run.executors import execute
from bench.run.jobs import Job, Lost
from bench.run.on_ray import RETRIES, OnRay, _fits

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]  # one worker: one cluster


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without processors and two nodes of one each, on this machine."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1), made.add_node(num_cpus=1)]
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def run(cluster: Any, jobs: list[Job], **how: Any) -> dict[str, Any]:
    """What became of each job."""
    seen: dict[str, Any] = {}

    def ended(job: Job, result: Any, error: BaseException | None) -> bool:
        seen[job.name] = error or result
        return error is None

    execute(jobs, 1, ended, False, hire=OnRay(cluster.address, **how).hired)
    return seen


def note(folder: str, name: str, report: Any) -> str:
    report("writing", 1, 1)
    (Path(folder) / f"{name}.{time.time_ns()}").write_text(ray.get_runtime_context().get_node_id())
    return name


def fail(folder: str, name: str, report: Any) -> None:
    raise BenchError(f"{name} cannot")


def die(folder: str, name: str, report: Any) -> None:
    note(folder, name, report)
    os.kill(os.getpid(), signal.SIGKILL)


def linger(folder: str, name: str, report: Any) -> str:
    """Long the first time, until its node dies; then done at once."""
    first = not [*Path(folder).glob(f"{name}.*")]
    note(folder, name, report)
    if first:
        time.sleep(300)
    return name


def test_needs_come_first_failures_stay_local_and_a_job_that_kills_its_process_is_given_up_on(cluster, tmp_path):
    def job(name: str, call: Any, *needs: str) -> Job:
        return Job(name, call, (str(tmp_path), name), frozenset(needs))

    jobs = [job("a", note), job("bad", fail), job("b", note, "a"), job("c", note, "bad"), job("x", die),
            *(job(str(n), note) for n in range(4))]  # fmt: skip
    seen = run(cluster, jobs)
    assert all(seen[name] == name for name in "ab0123")
    assert str(seen["bad"]) == "bad cannot" and "needs bad" in str(seen["c"])
    assert isinstance(seen["x"], Lost) and f"lost {RETRIES + 1} times" in str(seen["x"])
    assert len([*tmp_path.glob("x.*")]) == RETRIES + 1
    nodes = {path.read_text() for path in tmp_path.iterdir()}
    assert len(nodes) == 2, "both nodes worked"


def test_what_a_node_was_at_is_done_by_another_when_it_dies(cluster, tmp_path):
    job = Job("long", linger, (str(tmp_path), "long"))

    def kill_its_node() -> None:
        until = time.monotonic() + 60
        while not (begun := [*tmp_path.glob("long.*")]):
            assert time.monotonic() < until
            time.sleep(0.1)
        (node,) = (n for n in cluster.nodes if n.node_id == begun[0].read_text())
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill_its_node)
    killer.start()
    assert run(cluster, [job]) == {"long": "long"}
    killer.join()
    first, second = (path.read_text() for path in sorted(tmp_path.glob("long.*")))
    assert first != second


def test_an_interrupt_stops_what_runs(cluster, tmp_path):
    jobs = [Job("long", linger, (str(tmp_path), "long"))]
    main = threading.get_ident()

    def interrupt() -> None:
        until = time.monotonic() + 60
        while not [*tmp_path.glob("long.*")]:
            assert time.monotonic() < until
            time.sleep(0.1)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(cluster, jobs)
    ray.init(cluster.address, log_to_driver=False)
    until = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < 2:
        assert time.monotonic() < until, "the job still holds its processor"
        time.sleep(0.2)


def test_what_no_node_has_room_for_is_said_with_what_there_is(cluster):
    with pytest.raises(BenchError, match=r"no node .* 3 CPUs, .*The most that one has are 1,.*--cell-cpus"):
        run(cluster, [], cpus=3)


def test_an_address_where_nobody_is_says_what_to_start():
    nobody = OnRay("127.0.0.1:1").hired(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--address 127.0.0.1:1: .*ray start --head"), nobody:
        pass


def test_how_many_jobs_a_node_holds():
    node = {"CPU": 16.0, "GPU": 2.0, "memory": 64e9}
    assert _fits(node, {"CPU": 1, "GPU": 0, "memory": 0}) == 16
    assert _fits(node, {"CPU": 2, "GPU": 0.5, "memory": 0}) == 4
    assert _fits(node, {"CPU": 1, "GPU": 0, "memory": 30e9}) == 2
    assert _fits({"CPU": 4.0}, {"CPU": 1, "GPU": 1, "memory": 0}) == 0
