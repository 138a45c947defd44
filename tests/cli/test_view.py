"""`bench view` as it is typed: what it says, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from bench.api import Score
from bench.board import report, serve
from bench.cli import view
from bench.cli.main import main
from bench.store import files
from bench.store.record import Cell, Record

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    cell = Cell("tofu:forget10", "fo-npo", "tiny", "embedded", 0)
    keys = dict.fromkeys(("train", "measure", "score"), "k")
    files.save(tmp_path / "r", Record(cell, "diverged", keys, {}, scores={"rouge": Score(0.5)}, error="at 3"), None)
    return tmp_path / "r"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list:
    """What would be served, without waiting for Ctrl-C."""
    found: list = []

    def once(server: serve.Server, follower: serve.Follower) -> None:
        found.append((server, follower))
        server.server_close()

    monkeypatch.setattr(serve, "serve", once)
    monkeypatch.setattr(view, "_has_screen", lambda: False)
    return found


def said(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 0) -> str:
    assert main(["view", *map(str, words)]) == status
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_it_builds_the_report_and_says_where_it_is(capsys, results: Path, served: list) -> None:
    told = said(capsys, results, "--port", "0")
    ((server, follower),) = served
    assert f"following {results} on http://127.0.0.1:{server.server_port}/ (Ctrl-C ends)" in told
    assert server.folder == results / "page" and (results / "page" / "index.html").is_file()
    assert follower.version == 1 and follower.error == ""
    assert "no cell yet" not in told


def test_results_are_named_as_in_other_commands_and_once(capsys, results: Path, served: list, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "page"
    said(capsys, "--results", results, "--folder", folder, "--port", "0")
    assert served[0][0].folder == folder and (folder / "index.html").is_file() and not (results / "page").exists()
    assert "given twice" in said(capsys, results, "--results", results, status=2)


def test_without_results_the_usual_place_is_meant(capsys, results: Path, served, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    results.rename(tmp_path / "results")
    assert "following results on" in said(capsys, "--port", "0")


def test_the_rules_are_those_asked_for(capsys, results: Path, served: list, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(report, "write", lambda *about, **_: written.append(about))
    said(capsys, results, "--port", "0", "--alpha", "0.1", "--margin", "0.2", "--data", "hub", status=0)
    rules, data = written[0][3], written[0][5]
    assert (rules.alpha, rules.margin, data) == (0.1, 0.2, "hub")


def test_an_empty_directory_waits_for_cells(capsys, tmp_path: Path, served: list) -> None:
    told = said(capsys, tmp_path, "--port", "0")
    assert f"{tmp_path} has no cell yet. Run, in another terminal: python -m bench run --results {tmp_path}" in told
    assert (tmp_path / "page" / "index.html").is_file() and served[0][1].version == 1


def test_a_missing_directory_says_what_to_type(capsys, tmp_path: Path, served: list) -> None:
    told = said(capsys, tmp_path / "none", status=1)
    assert f"{tmp_path / 'none'} is no directory. Run: python -m bench run --results {tmp_path / 'none'}" in told
    assert not (tmp_path / "none").exists() and served == []


def test_a_port_that_is_taken_is_said(capsys, results: Path, served: list) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = said(capsys, results, "--port", str(port))
    used = served[0][0].server_port
    assert used > port and f"port {port} is taken: {used} is used" in told and f"http://127.0.0.1:{used}/" in told


def test_a_folder_that_cannot_be_written_is_refused(capsys, results: Path, served: list) -> None:
    (results / "page").write_text("mine\n")
    told = said(capsys, results, status=1)
    assert "is a file, not a directory" in told and "--folder DIR" in told and served == []


def test_a_report_that_cannot_be_built_at_all_ends_it(capsys, results: Path, served, monkeypatch) -> None:
    monkeypatch.setattr(report, "write", lambda *_, **__: 1 / 0)
    told = said(capsys, results, "--port", "0", status=1)
    assert "the report was not built" in told and "ZeroDivisionError" in told and served == []


def test_files_that_are_no_records_are_said_once_and_stop_nothing(capsys, results: Path, served: list) -> None:
    place = results / "embedded" / "tiny" / "tofu-forget10"
    (place / "half.json").write_text('{"schema": 1, "cell"')
    (place / ".fo-npo.seed1.json.x1").write_text("{")
    told = said(capsys, results, "--port", "0")
    assert told.count("left out") == 1 and "half.json is no record" in told
    (place / "more.json").write_text("{")
    served[0][1].look()
    again = capsys.readouterr().err
    assert "half.json" not in again and "more.json is no record" in again and served[0][1].error == ""


def test_a_browser_is_opened_where_there_is_a_screen(capsys, results: Path, served: list, monkeypatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(view, "_has_screen", lambda: True)
    said(capsys, results, "--port", "0", "--no-browser")
    assert opened == []
    said(capsys, results, "--port", "0")
    end = time.monotonic() + 10
    while not opened and time.monotonic() < end:
        time.sleep(0.01)
    assert opened == [served[1][0].url]


@pytest.mark.parametrize(
    ("platform", "environment", "screen"),
    [("linux", {}, False), ("linux", {"DISPLAY": ":0"}, True), ("linux", {"WAYLAND_DISPLAY": "w"}, True),
     ("linux", {"BROWSER": "firefox"}, True), ("darwin", {}, True), ("win32", {}, True)],
)  # fmt: skip
def test_a_text_browser_does_not_take_over_the_terminal(monkeypatch, platform, environment, screen) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(view.sys, "platform", platform)
    assert view._has_screen() is screen


def test_ctrl_c_ends_it_well(results: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "bench", "view", str(results), "--port", "0", "--no-browser"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    told = ""
    try:
        assert running.stderr is not None
        for line in running.stderr:
            told += line
            if line.startswith("following"):
                break
        url = told.split(" on ")[-1].split()[0]
        with urllib.request.urlopen(f"{url}live.json", timeout=20) as reply:
            assert json.load(reply) == {"version": 1, "running": [], "runs": [], "error": ""}
        running.send_signal(signal.SIGINT)
        rest = running.communicate(timeout=30)[1]
    finally:
        running.kill()
    assert running.returncode == 0, told + rest
    assert rest.strip() == "the server has stopped"
