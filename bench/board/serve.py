"""The report over http for whoever sits at this machine, built again as results change.

/live.json       {"version": how many builds changed a file, "running": cells and models that are being made,
                 "runs": how far the runs are that make them, "error": why the last build failed, or ""}
/live.json?wait  the same two seconds later, or {"stopped": true} as soon as the server stops
/...             the files of the report's folder, and nothing outside it

Only this machine can connect (127.0.0.1), and only under a name of its own: a page of the internet whose name is made
to point here (DNS rebinding) is refused.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from bench.errors import BenchError, UsageError
from bench.run.pace import words
from bench.store import live

EVERY = 2.0
"""Seconds between two looks at the results, and between two answers to a page that waits."""
FOLLOWED = ("*/*/*/*.json", "*/*/*/*.attacks.parquet", "tuning/*/*/*/*.jsonl")
"""What a report is made of: records, attacks on them, trials; all else of a cell is written before its record."""
PORTS = 20
"""How many ports are tried, from the one asked for."""
WATCHED = 0.1
"""Seconds between looks for Ctrl-C."""
ADDRESS = "127.0.0.1"
_OWN_NAME = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?", re.IGNORECASE)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".csv": "text/csv; charset=utf-8",
}
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",  # or any page of the internet could load our data as a script
}

Build = Callable[[Path, Path], None]
Say = Callable[[str], None]


class Follower:
    """Builds the report of `results` into `folder` whenever what it is made of has changed.

    Attributes:
        version: how many builds changed a file of the folder.
        error: what the last build failed of, in a line; "" if it went well. The files of the one before stay.
    """

    def __init__(self, results: Path, folder: Path, build: Build, say: Say) -> None:
        self.version = 0
        self.error = ""
        self._results, self._folder, self._build, self._say = results, folder, build, say
        self._seen: Mapping[str, tuple[int, int]] | None = None

    def look(self) -> None:
        """Build if what it is made of is other than at the last look; what goes wrong is said, never raised."""
        now = _stamps(chain.from_iterable(map(self._results.glob, FOLLOWED)))
        if now == self._seen:
            return
        self._seen = now
        before = _stamps(self._folder.rglob("*"))
        try:
            self._build(self._results, self._folder)
            self.error = ""
        except BenchError as error:
            self.error = str(error)
            self._say(f"error: the report was not built: {error}")
        except Exception as error:
            self.error = "".join(traceback.format_exception_only(error)).strip()
            self._say(f"error: the report was not built: {traceback.format_exc()}")
        self.version += _stamps(self._folder.rglob("*")) != before

    def follow(self, over: threading.Event) -> None:
        """Look until it is over; a build that takes long leaves the machine to others for twice as long."""
        took = 0.0
        while not over.wait(max(EVERY, 2 * took)):
            started = time.monotonic()
            self.look()
            took = time.monotonic() - started

    def state(self) -> dict[str, Any]:
        """What `/live.json` says."""
        now = time.time()
        jobs = [{**job, "estimate": words(_left(job, now))} for job in live.running(self._results)]
        return {
            "version": self.version,
            "running": [job for job in jobs if not job.get("run")],
            "runs": [job for job in jobs if job.get("run")],
            "error": self.error,
        }


def _stamps(paths: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Time and size of every file."""
    found = {}
    for path in paths:
        try:
            about = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(about.st_mode):
            found[str(path)] = about.st_mtime_ns, about.st_size
    return found


def _left(job: Mapping[str, Any], now: float) -> float | None:
    """Seconds until a run, or the stage of a job, is done; None if nobody knows, as after the clock was set back.

    A run knows from how long jobs took (`bench.run.pace`), a stage from its own steps so far.
    """
    if job.get("run"):
        return None if job.get("left") is None else max(0.0, job["left"] - max(0.0, now - job["told"]))
    made, took = job["step"] - job["first"], now - job["since"]
    return took / made * (job["steps"] - job["step"]) if made > 0 and took >= 0 else None


class Server(ThreadingHTTPServer):
    """Serves a folder and what `state` says; `over` is set when it is to stop.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers have one port

    def __init__(self, port: int, folder: Path, state: Callable[[], Mapping[str, Any]]) -> None:
        self.folder, self.state, self.over = folder, state, threading.Event()
        super().__init__((ADDRESS, port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # that of HTTPServer asks the network for the machine's name
        self.server_name, self.server_port = ADDRESS, self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is nobody's mistake."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            traceback.print_exc()

    def stop(self) -> None:
        """Stop serving, after pages that wait, and those that ask just now, were told."""
        self.over.set()
        time.sleep(0.3)
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "bench", ""
    timeout = 30

    def do_GET(self) -> None:
        if not _OWN_NAME.fullmatch(" ".join(self.headers.get_all("Host", []))):
            return self._reply(403, "text/plain", b"This server answers to localhost alone.\n")
        try:
            address = urlsplit(self.path)
        except ValueError:
            return self._reply(400, "text/plain", b"No address.\n")
        if address.path == "/live.json":
            stopped = self.server.over.wait(EVERY if address.query == "wait" else 0)
            text = json.dumps({"stopped": True} if stopped else self.server.state())
            return self._reply(200, _TYPES[".json"], text.encode())
        place = inside(self.server.folder, address.path)
        if place is None and address.path == "/favicon.ico":  # browsers ask unasked, and call its absence an error
            return self._reply(204, "image/x-icon", b"")
        try:
            content = None if place is None else place.read_bytes()
        except OSError:
            content = None
        if place is None or content is None:
            return self._reply(404, "text/plain", b"There is no such page.\n")
        self._reply(200, _TYPES.get(place.suffix, "application/octet-stream"), content)

    do_HEAD = do_GET

    def _reply(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for what a person must know."""


def inside(folder: Path, address: str) -> Path | None:
    """The file of `folder` that the path of an address means, after links are followed; None if it is not in there."""
    parts = unquote(address).replace("\\", "/").strip("/").split("/")
    if any(part.startswith(".") for part in parts):
        return None
    try:
        root = folder.resolve()
        place = root.joinpath(*parts if parts != [""] else ["index.html"]).resolve(strict=True)
        return place if place.is_file() and place.is_relative_to(root) else None
    except (OSError, ValueError, RuntimeError):
        return None


def bound(port: int, folder: Path, state: Callable[[], Mapping[str, Any]]) -> Server:
    """A server at the port or the first free one after it; port 0 is any.

    Raises:
        UsageError: none of them may be used.
    """
    for tried in range(port, min(port + PORTS, 1 << 16)):
        try:
            return Server(tried, folder, state)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UsageError(f"--port {port} cannot be used: {error.strerror}. Name another.") from None
    raise UsageError(f"--port {port}: it and the {PORTS - 1} after it are taken. Name another.")


def serve(server: Server, follower: Follower) -> None:
    """Serve and follow until Ctrl-C.

    The signal is noted, not raised: raised where threads are being started, it can be lost.
    """
    over: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: over.append(number))
    following = threading.Thread(target=follower.follow, args=(server.over,), daemon=True, name="follow")
    serving = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True, name="serve")
    try:
        following.start()
        serving.start()
        while not over:
            time.sleep(WATCHED)
    finally:
        signal.signal(signal.SIGINT, before)
        if serving.is_alive():
            server.stop()
        else:
            server.server_close()
