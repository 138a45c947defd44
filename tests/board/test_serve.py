"""The report over http: its folder and nothing else, for this machine alone, built again as results change."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.board import serve
from bench.errors import BenchError, UsageError
from bench.store import live
from bench.store.live import Live


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "EVERY", 0.05)
    monkeypatch.setattr(live, "BEAT", 0.01)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A folder of pages with secrets around it, served."""
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    (folder / "cell" / "a table").mkdir(parents=True)
    for name in ("index.html", "assets/x.js", "assets/x.css", "assets/x.svg", "assets/x.odd", "cell/a table/é%41.html"):
        (folder / name).write_text(f"this is {name}", encoding="utf-8")
    (folder / ".hidden").write_text("secret")
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "page-secret").mkdir()
    (tmp_path / "page-secret" / "index.html").write_text("secret")
    (folder / "out.html").symlink_to(tmp_path / "secret.html")
    (folder / "away").symlink_to(tmp_path)
    (folder / "in.html").symlink_to(folder / "index.html")
    (folder / "loop.html").symlink_to(folder / "loop.html")
    os.mkfifo(folder / "pipe.html")
    server = serve.bound(0, folder, lambda: {"version": 3})
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield SimpleNamespace(folder=folder, server=server, port=server.server_port)
    server.stop()


def get(site, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    """The reply to a path that is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": f"127.0.0.1:{site.port}", **headers}.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders()
    reply = connection.getresponse()
    reply.text = reply.read().decode()  # type: ignore[attr-defined]
    return reply


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/index.html?a=1&b=2", "index.html", "text/html; charset=utf-8"),
        ("/assets/x.js", "assets/x.js", "text/javascript; charset=utf-8"),
        ("/assets/x.css", "assets/x.css", "text/css; charset=utf-8"),
        ("/assets/x.svg", "assets/x.svg", "image/svg+xml"),
        ("/assets/x.odd", "assets/x.odd", "application/octet-stream"),
        ("/cell/a%20table/%C3%A9%2541.html", "cell/a table/é%41.html", "text/html; charset=utf-8"),
        ("/in.html", "index.html", "text/html; charset=utf-8"),
    ],
)
def test_pages_come_with_their_types_and_are_never_kept(site, path: str, name: str, kind: str) -> None:
    reply = get(site, path)
    assert (reply.status, reply.text) == (200, f"this is {name}")
    assert reply.headers["Content-Type"] == kind
    assert reply.headers["Cache-Control"] == "no-store" and reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    head = get(site, path, "HEAD")
    assert (head.status, head.text, head.headers["Content-Length"]) == (200, "", str(len(reply.text.encode())))


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.html", "/assets", "/assets/", "/cell/a%20table", "/.hidden", "/%2ehidden",
        "/../secret.html", "/%2e%2e/secret.html", "/..%2fsecret.html", "/assets/../../secret.html", "//../secret.html",
        "/..%5csecret.html", "/%252e%252e/secret.html", "/assets/%2e%2e/%2e%2e/secret.html",
        "/../page-secret/index.html",
        "/out.html", "/away/secret.html", "/away/page/index.html/../../secret.html", "/loop.html", "/pipe.html",
        "/index.html%00.js", "/%ff%fe", "/" + "x" * 5000, "/" + "x/" * 5000, "http://elsewhere/nothing", "//etc/passwd",
    ],
)  # fmt: skip
def test_nothing_else_is_served(site, path: str) -> None:
    reply = get(site, path)
    assert reply.status == 404 and "secret" not in reply.text


def test_an_absolute_path_is_one_of_the_folder(site) -> None:
    assert get(site, str(site.folder.parent / "secret.html")).status == 404
    assert get(site, "/" + str(site.folder.parent / "secret.html")).status == 404


def test_a_link_to_a_file_of_the_folder_s_own_name_is_not_inside(tmp_path: Path) -> None:
    """page-secret begins as page does."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page-secret").mkdir()
    (tmp_path / "page-secret" / "x.html").write_text("secret")
    (tmp_path / "page" / "x.html").symlink_to(tmp_path / "page-secret" / "x.html")
    assert serve.inside(tmp_path / "page", "/x.html") is None


def test_a_folder_behind_a_link_is_served(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "x.html").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "page")
    assert serve.inside(tmp_path / "link", "/x.html") == (tmp_path / "page" / "x.html").resolve()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1"])
def test_it_answers_to_its_own_names(site, host: str) -> None:
    assert get(site, "/", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example@localhost",
     "localhost:80:80", "127.0.0.2", "0.0.0.0", "localhost evil.example", ""],
)  # fmt: skip
def test_it_answers_to_no_other_name(site, host: str) -> None:
    for path in ("/", "/live.json", "/assets/x.js"):
        reply = get(site, path, Host=host)
        assert reply.status == 403 and "this is" not in reply.text


def test_two_names_are_none(site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert b" 403 " in raw.makefile("rb").readline()


def test_only_this_machine_can_connect(site) -> None:
    assert site.server.server_address[0] == "127.0.0.1"
    assert site.server.url == f"http://127.0.0.1:{site.port}/"


def test_that_there_is_no_icon_is_no_error(site) -> None:
    assert get(site, "/favicon.ico").status == 204
    (site.folder / "favicon.ico").write_text("icon")
    assert get(site, "/favicon.ico").text == "icon"


def test_writing_is_not_possible(site) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert get(site, "/index.html", method).status == 501
    assert (site.folder / "index.html").read_text() == "this is index.html"


def test_a_browser_that_hangs_up_is_not_told_of(site, capfd) -> None:
    (site.folder / "large.html").write_bytes(b"x" * 50_000_000)
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raw.sendall(b"GET /large.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
            raw.recv(10)
    assert get(site, "/").status == 200
    assert capfd.readouterr().err == ""


def test_a_page_that_waits_hears_of_the_end(site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(get(site, "/live.json?wait").text) == {"version": 3}
    monkeypatch.setattr(serve, "EVERY", 60.0)
    heard = []
    waits = threading.Thread(target=lambda: heard.append(json.loads(get(site, "/live.json?wait").text)))
    waits.start()
    time.sleep(0.2)
    assert heard == []
    site.server.over.set()
    waits.join(10)
    assert heard == [{"stopped": True}]


def test_the_next_free_port_is_taken(site, tmp_path: Path) -> None:
    other = serve.bound(site.port, tmp_path, dict)
    assert other.server_port > site.port
    other.server_close()


def test_no_free_port_is_said(site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "PORTS", 1)
    with pytest.raises(UsageError, match=f"--port {site.port}: .*taken. Name another"):
        serve.bound(site.port, tmp_path, dict)


# -- following ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def followed(tmp_path: Path) -> SimpleNamespace:
    """A results directory and what builds a page of the names of its records."""
    results, folder = tmp_path / "results", tmp_path / "results" / "page"
    place = results / "embedded" / "tiny" / "tofu-forget10"
    place.mkdir(parents=True)
    folder.mkdir()
    built: list[list[str]] = []
    wrong: list[Exception] = []

    def build(results: Path, folder: Path) -> None:
        if wrong:
            raise wrong[0]
        built.append(sorted(path.name for path in results.glob("*/*/*/*.json")))
        text = " ".join(built[-1])
        page = folder / "index.html"
        if not page.is_file() or page.read_text() != text:
            page.write_text(text)

    said: list[str] = []
    follower = serve.Follower(results, folder, build, said.append)
    return SimpleNamespace(follower=follower, place=place, results=results, built=built, wrong=wrong, said=said)


def test_it_builds_when_records_change_and_only_then(followed) -> None:
    look = followed.follower.look
    look()
    look()
    assert followed.built == [[]] and followed.follower.version == 1
    record = followed.place / "fo-npo.seed0.json"
    record.write_text("1")
    look()
    look()
    assert followed.built == [[], ["fo-npo.seed0.json"]] and followed.follower.version == 2
    os.utime(record, (1, 1))
    look()
    assert len(followed.built) == 3 and followed.follower.version == 2, "built again, but no page is another"
    record.write_text("22")
    os.utime(record, (1, 1))
    look()
    assert len(followed.built) == 4, "the same time, another size"
    record.unlink()
    look()
    assert followed.built[4] == [] and followed.follower.version == 3


def test_it_builds_when_a_tuning_has_another_trial(followed) -> None:
    followed.follower.look()
    file = followed.results / "tuning" / "embedded" / "tiny" / "tofu-forget10" / "fo-npo.jsonl"
    file.parent.mkdir(parents=True)
    for text in ("1", "1\n2"):
        file.write_text(text)
        followed.follower.look()
    followed.follower.look()
    assert len(followed.built) == 3


def test_it_builds_when_attacks_are_added(followed) -> None:
    """Of a cell whose record stays as it is; what a crash left beside them is none."""
    (followed.place / "fo-npo.seed0.json").write_text("1")
    followed.follower.look()
    (followed.place / "fo-npo.seed0.attacks.parquet").write_text("1")
    followed.follower.look()
    assert len(followed.built) == 2
    (followed.place / ".fo-npo.seed0.attacks.parquet.x1y2").write_text("1")
    followed.follower.look()
    assert len(followed.built) == 2


def test_what_is_no_record_builds_nothing(followed) -> None:
    followed.follower.look()
    for name in ("rows/x.json", "page/cell/x.js", "running/x.json", "embedded/tiny/tofu-forget10/x.parquet"):
        path = followed.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    followed.follower.look()
    assert len(followed.built) == 1


def test_a_build_that_fails_is_said_and_the_old_pages_stay(followed) -> None:
    followed.follower.look()
    page = followed.follower._folder / "index.html"
    old = page.read_text()
    for n, (error, says) in enumerate(
        [(BenchError("no room on the disk"), "no room on the disk"), (KeyError("<b>x"), "KeyError: '<b>x'")]
    ):
        followed.wrong[:] = [error]
        (followed.place / f"{n}.json").write_text("x")
        followed.follower.look()
        assert says in followed.said[-1] and followed.follower.state()["error"] == says
        assert page.read_text() == old and followed.follower.version == 1
    followed.wrong.clear()
    (followed.place / "more.json").write_text("x")
    followed.follower.look()
    assert followed.follower.state()["error"] == "" and followed.follower.version == 2


def test_it_looks_until_it_is_over_and_again_after_a_failure(followed) -> None:
    over = threading.Event()
    followed.wrong.append(ValueError("no"))
    thread = threading.Thread(target=followed.follower.follow, args=(over,))
    thread.start()
    end = time.monotonic() + 10
    while not followed.said and time.monotonic() < end:
        time.sleep(0.01)
    followed.wrong.clear()
    (followed.place / "x.json").write_text("x")
    while not followed.built and time.monotonic() < end:
        time.sleep(0.01)
    over.set()
    thread.join(10)
    assert followed.built == [["x.json"]] and not thread.is_alive()


def test_a_build_that_takes_long_is_not_the_next_thing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After 30 s of building 60 s of rest; after one that took none, two."""
    monkeypatch.setattr(serve, "EVERY", 2.0)
    rests, took, clock = [], iter([0.0, 30.0, 0.5]), [0.0]
    monkeypatch.setattr(serve.time, "monotonic", lambda: clock[0])
    over = SimpleNamespace(wait=lambda seconds: rests.append(seconds) or len(rests) > 3)
    follower = serve.Follower(Path("none"), Path("none"), lambda *_: None, print)
    monkeypatch.setattr(follower, "look", lambda: clock.__setitem__(0, clock[0] + next(took)))
    follower.follow(over)  # type: ignore[arg-type]
    assert rests == [2.0, 2.0, 60.0, 2.0]


def test_the_state_tells_what_runs_and_how_long_it_takes(followed) -> None:
    with Live(followed.results, "run 1", {"run": True}) as run, Live(followed.results, "cell", {"cell": {}}) as job:
        run("jobs", 1, 6)
        run.tell(left=600.0, told=time.time())
        job("unlearning", 10, 100)
        job._since = (time.time() - 30, 10)
        job("unlearning", 40, 100)
        end = time.monotonic() + 10
        state = followed.follower.state()
        while time.monotonic() < end and [job["step"] for job in state["running"] + state["runs"]] != [40, 1]:
            state = followed.follower.state()
    (job,), (run,) = state["running"], state["runs"]
    assert (job["name"], job["stage"], job["estimate"]) == ("cell", "unlearning", "about 60 s left")
    assert (run["step"], run["steps"], run["estimate"]) == (1, 6, "about 10 min left")


def test_time_left_by_hand() -> None:
    """30 steps in 15 s leave 60 steps for 30 s; a run said 100 s and 40 of them are over."""
    stage = {"step": 40, "steps": 100, "since": 1000.0, "first": 10}
    assert serve._left(stage, 1015.0) == 30.0
    assert serve._left({**stage, "step": 10}, 1015.0) is None
    run = {**stage, "run": True, "left": 100.0, "told": 1000.0}
    assert serve._left(run, 1040.0) == 60.0 and serve._left(run, 1140.0) == 0.0
    assert serve._left(stage, 900.0) is None and serve._left(run, 900.0) == run["left"], "the clock was set back"
    assert serve._left({**run, "left": None}, 1040.0) is None and serve._left({"run": True}, 0.0) is None
