"""Jobs done by the machines of a Ray cluster: a task each, with the processors, accelerators and memory that it takes.

Every node has to have this program, and what the run names (results, cache, data, checkpoints) under the same paths: a
shared file system. Or the results are a URL, and each node has its own mirror of them. A task whose process or node
dies is begun again elsewhere by Ray itself, `RETRIES` times; after that its job has failed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import plugins
from bench.errors import BenchError, UsageError
from bench.run.display import Display
from bench.run.jobs import Crew, End, Job, Lost, timed

RETRIES = 2
BEAT = 1.0
"""Seconds between two words of a job on how far it is."""
_CARRIED = (plugins.VARIABLE, "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "HF_HOME", "TOKENIZERS_PARALLELISM")
"""Of the environment, what workers are to have as this process has it."""


@dataclass(frozen=True)
class OnRay:
    """Which cluster, and what a job takes of it.

    Attributes:
        address: "auto", "ray://HOST:10001", ...; "" starts one of this machine's own.
        cpus: processors, and threads, of a job.
        gpus: accelerators of a job; a part of one lets several jobs share it.
        memory: of a job, in GB; 0 asks for none.
        most: jobs at once; None is as many as the cluster has room for.
    """

    address: str = ""
    cpus: float = 1
    gpus: float = 0
    memory: float = 0
    most: int | None = None

    @contextmanager
    def hired(self, display: Display) -> Iterator[Crew]:
        """The cluster, while the block lasts; what still runs when an exception leaves it is stopped.

        Raises:
            UsageError: Ray is not installed, or there is no such cluster.
            BenchError: no node has room for one job.
        """
        ray = _ray()
        own = {"address": self.address} if self.address else {"include_dashboard": False}
        try:
            _knock(self.address)
            ray.init(**own, log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"--address {self.address}: no Ray cluster answers there ({error}). Start one: ray start --head"
            ) from error
        crew = Cluster(ray, self, display)
        try:
            yield crew
        except BaseException:
            crew.dismiss()
            raise
        finally:
            crew.close()
            ray.shutdown()

    def takes(self) -> dict[str, Any]:
        """What Ray is asked for, for each job."""
        asked = {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": int(self.memory * 1e9)}
        return {name: value for name, value in asked.items() if value or name == "num_cpus"}


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens at HOST:PORT: Ray itself would wait for minutes, and then exit."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs the package ray. Type: pip install 'unlearning-bench[ray]'") from error
    return ray


class Cluster:
    """See `Crew`: Ray's tasks, each told apart, so that one that dies says nothing of others."""

    def __init__(self, ray: Any, asked: OnRay, display: Display) -> None:
        self._ray, self._asked = ray, asked
        self.size = self._room()
        self._running: dict[Any, Job] = {}
        self._told = ray.remote(num_cpus=0)(_Told).remote()
        self._do = ray.remote(_do)
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, args=(display,), daemon=True)
        self._listener.start()

    def begin(self, job: Job) -> None:
        """See `Crew`."""
        carried = {name: os.environ[name] for name in _CARRIED if name in os.environ}
        how = {**self._asked.takes(), "max_retries": RETRIES, "retry_exceptions": False, "name": job.name}
        task = self._do.options(**how).remote(job, str(Path.cwd()), carried, int(max(1, self._asked.cpus)), self._told)
        self._running[task] = job

    def ended(self, patience: float | None) -> Sequence[End]:
        """See `Crew`."""
        done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=patience)
        return [self._end(self._running.pop(task), task) for task in done]

    def dismiss(self) -> None:
        """Stop what runs."""
        for task in self._running:
            with suppress(Exception):
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Let go of what listens."""
        self._over.set()
        self._listener.join(timeout=5)

    def _end(self, job: Job, task: Any) -> End:
        errors = self._ray.exceptions
        try:
            return End(job, *self._ray.get(task))
        except errors.RayTaskError as error:
            return End(job, error=error.cause)
        except errors.RayError as error:
            why = str(error).strip().splitlines() or [type(error).__name__]
            said = f"its process or node was lost {RETRIES + 1} times ({type(error).__name__}: {why[0]})"
            return End(job, error=Lost(f"{said}. What is finished is kept", final=True))

    def _room(self) -> int:
        """How many jobs the nodes hold at once.

        Raises:
            BenchError: none.
        """
        asked = {"CPU": self._asked.cpus, "GPU": self._asked.gpus, "memory": self._asked.memory * 1e9}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = sum(_fits(node, asked) for node in nodes)
        if not room:
            most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in asked}
            raise BenchError(
                f"no node of the cluster has room for a job of {self._asked.cpus:g} CPUs, {self._asked.gpus:g} GPUs, "
                f"{self._asked.memory:g} GB. The most that one has are {most['CPU']:g}, {most['GPU']:g} and "
                f"{most['memory'] / 1e9:.0f}. Ask for less: --cell-cpus, --cell-gpus, --cell-memory."
            )
        return min(room, self._asked.most or room)

    def _listen(self, display: Display) -> None:
        while not self._over.wait(BEAT):
            with suppress(Exception):  # of what is only shown
                for name, told in self._ray.get(self._told.news.remote(), timeout=BEAT).items():
                    display.reporter(name)(*told)


def _fits(node: Mapping[str, float], asked: Mapping[str, float]) -> int:
    return int(min(node.get(name, 0) // amount for name, amount in asked.items() if amount))


class _Told:
    """What jobs say of how far they are, the last word of each; lives in a process of its own."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int, int]] = {}

    def tell(self, name: str, what: str, done: int, total: int) -> None:
        self._last[name] = what, done, total

    def news(self) -> dict[str, tuple[str, int, int]]:
        found, self._last = self._last, {}
        return found


def _do(job: Job, folder: str, environment: Mapping[str, str], threads: int, told: Any) -> tuple[Any, float]:
    """A job, on whichever node; in the folder of the run, for what it names may be relative to that."""
    import torch

    try:
        os.chdir(folder)
    except OSError as error:
        if not getattr(job.arguments[0], "url", ""):
            raise BenchError(
                f"{folder}, where the run was started, is not on this node ({error.strerror}). Start it in a folder "
                "that all nodes share with --results, --cache and --data there, or give --results URL."
            ) from error
    os.environ.update(environment)
    torch.set_num_threads(threads)
    last = [0.0]

    def report(what: str, done: int, total: int) -> None:
        if time.monotonic() - last[0] > BEAT:
            last[0] = time.monotonic()
            told.tell.remote(job.name, what, done, total)

    return timed(job, report)
