"""What runs now, as its files say: there while a job runs and gone after it, whatever the disk and the job do."""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.run import cell as runner
from bench.run import grid
from bench.run.jobs import Job
from bench.run.plan import Request, plan
from bench.store import files, live
from bench.store.live import Live, running
from bench.train.loop import Curve, Diverged


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT", 0.01)


def seen(results: Path, holds=lambda job: True, seconds: float = 10.0) -> dict:
    """The only job there, once it is as wanted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        jobs = running(results)
        if len(jobs) == 1 and holds(jobs[0]):
            return jobs[0]
        time.sleep(0.005)
    raise AssertionError(f"not seen; there is {running(results)}")


def test_a_job_is_there_while_it_runs_and_gone_after_it(tmp_path: Path) -> None:
    heard = []
    about = {"cell": {"method": "fo-npo", "task": "tofu:forget10"}}
    with Live(tmp_path, "tofu:forget10/fo-npo", about, lambda *said: heard.append(said)) as job:
        at_first = seen(tmp_path)
        assert (at_first["name"], at_first["stage"], at_first["steps"]) == ("tofu:forget10/fo-npo", "preparing", 0)
        assert at_first["cell"] == about["cell"] and abs(at_first["started"] - time.time()) < 60
        job("unlearning", 3, 40)
        job("unlearning", 4, 40)
        later = seen(tmp_path, lambda found: found["step"] == 4)
        assert (later["stage"], later["steps"], later["first"]) == ("unlearning", 40, 3)
        assert later["since"] >= later["started"]
        job.tell(left=12.5)
        assert seen(tmp_path, lambda found: "left" in found)["left"] == 12.5
    assert heard == [("unlearning", 3, 40), ("unlearning", 4, 40)]
    assert list(tmp_path.iterdir()) == [], "nothing is left behind, not even the folder"


def test_a_curve_grows_thinned_and_in_plain_numbers(tmp_path: Path) -> None:
    curve = Curve()
    with Live(tmp_path, "cell", {}) as job:
        job.curve = lambda: curve.columns(live.POINTS)
        curve.lines += [{"step": n, "loss": n / 3} for n in range(1, 4)]
        assert seen(tmp_path, lambda found: found["curve"])["curve"]["loss"] == [0.33333, 0.66667, 1.0]
        curve.lines += [{"step": n, "loss": math.nan if n == 5000 else 1.0} for n in range(4, 5001)]
        curve.trace.append({"step": 0, "forget probability": math.inf})
        found = seen(tmp_path, lambda found: len(found["curve"]["step"]) == live.POINTS)["curve"]
        assert (found["step"][0], found["step"][-1], found["loss"][-1]) == (1, 5000, None)
        assert seen(tmp_path, lambda f: "trace step" in f["curve"])["curve"]["trace forget probability"] == [None]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_it_goes_however_the_job_ends(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), Live(tmp_path, "cell", {}):
        seen(tmp_path)
        raise error
    assert running(tmp_path) == [] and not (tmp_path / live.FOLDER).exists()


def test_no_trouble_with_the_file_is_the_job_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the folder's place, no room, no numbers, no thread: the job gets through and says nothing."""
    for results in (tmp_path / "afile", Path(os.devnull)):
        if not results.exists():
            results.write_text("mine\n")
        with Live(results, "cell", {}) as job:
            job("unlearning", 1, 2)
            time.sleep(0.03)
    assert (tmp_path / "afile").read_text() == "mine\n"
    tried = threading.Event()

    def full(*_: object, **__: object) -> None:
        tried.set()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, Live(tmp_path, "cell", {}) as job:
        patch.setattr(Path, "write_text", full)
        assert tried.wait(10)
    with Live(tmp_path, "cell", {"odd": object()}) as job:
        job.curve = lambda: {"loss": ["no number"]}  # type: ignore[dict-item]
        time.sleep(0.03)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("no more threads")))
        with Live(tmp_path, "cell", {}) as job:
            job("unlearning", 1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with Live(tmp_path, "cell", {}):
        time.sleep(0.03)
    tmp_path.chmod(0o700)


def test_what_a_dead_process_left_is_passed_over_and_removed(tmp_path: Path) -> None:
    dead = live.path(tmp_path, "dead")
    live._write(dead, Live(tmp_path, "dead", {})._state())
    assert [job["name"] for job in running(tmp_path)] == ["dead"]
    old = time.time() - live.STALE - 1
    os.utime(dead, (old, old))
    half = dead.with_name(f".{dead.stem}.part")
    half.write_text("{")
    os.utime(half, (old, old))
    foreign = dead.parent / "notes.json"
    foreign.write_text("{}")
    os.utime(foreign, (old, old))
    assert running(tmp_path) == []
    assert [path.name for path in dead.parent.iterdir()] == ["notes.json"], "only our own files are removed"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": 1}', "\ud800"])
def test_a_file_that_is_no_job_s_is_passed_over(tmp_path: Path, text: str) -> None:
    with Live(tmp_path, "good", {}):
        seen(tmp_path)
        live.path(tmp_path, "bad").write_text(text, encoding="utf-8", errors="surrogatepass")
        assert [job["name"] for job in running(tmp_path)] == ["good"]


def test_names_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["a/b", "a-b", "../../etc", "x" * 500, "", ".", "évil<b>\u202e", "target, seed 0 (ab12cd)"]
    places = [live.path(tmp_path, name) for name in names]
    assert len({*places}) == len(names)
    assert all(place.parent == tmp_path / live.FOLDER and len(place.name) < 120 for place in places)
    assert all(live._OURS.fullmatch(place.name) for place in places)


def test_they_are_no_records(tmp_path: Path) -> None:
    wrong: list[str] = []
    with Live(tmp_path, "cell", {}):
        seen(tmp_path)
        assert files.records(tmp_path, wrong.append) == {} and wrong == []


# -- what runs write ---------------------------------------------------------------------------------------------------


def planned(tmp_path: Path, **how):
    request = Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache", **how)
    return request, plan(request, ["fo-npo"], ["tofu:forget10"], [0])[-1]


@pytest.mark.parametrize("error", [None, Diverged("at step 3"), BenchError("no"), RuntimeError("no")])
def test_a_cell_is_followed_to_its_end_whatever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error) -> None:
    request, cell = planned(tmp_path)
    met = []

    def made(_, __, progress):
        progress("unlearning", 1, 8)
        met.append(seen(request.results, lambda job: job["step"] == 1))
        raise error or BenchError("enough")

    monkeypatch.setattr(runner, "_make", made)
    record = runner.run_cell(request, cell, lambda *_: None)
    assert record.status == ("diverged" if isinstance(error, Diverged) else "failed")
    assert met[0]["cell"] == cell.cell._asdict() and met[0]["stage"] == "unlearning"
    assert running(request.results) == [] and record.curve == {}


def test_nothing_of_it_is_in_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, cell = planned(tmp_path)
    monkeypatch.setattr(live, "POINTS", 7)
    with Live(tmp_path / "results", str(cell.cell), {}):
        again = planned(tmp_path)[1]
    assert again.keys == cell.keys and again.identity == cell.identity


def _job(name: str, results: Path, report) -> str:
    report("unlearning", 1, 2)
    live._write(live.path(results, name), Live(results, name, {})._state())  # as a killed worker leaves it
    return name


def test_a_run_says_how_far_it_is_and_removes_what_its_jobs_leave(tmp_path: Path) -> None:
    jobs = [Job(f"job {n}", _job, (f"job {n}", tmp_path)) for n in range(3)]
    said = []

    def say(_: str) -> None:
        wanted = lambda found: [j for j in found if j.get("run") and j["step"] == len(said) + 1]  # noqa: E731
        end = time.monotonic() + 10
        while not (found := wanted(running(tmp_path))) and time.monotonic() < end:
            time.sleep(0.005)
        said.append(found[0])

    assert grid.run_jobs(Request("tiny", "embedded", tmp_path, tmp_path / "cache"), jobs, 1, False, say, [])
    assert [(run["step"], run["steps"]) for run in said] == [(1, 3), (2, 3), (3, 3)]
    assert running(tmp_path) == []


def test_the_thread_that_trains_reads_no_curve_and_touches_no_file(tmp_path: Path, monkeypatch) -> None:
    threads = set()
    monkeypatch.setattr(live, "_write", lambda *_: threads.add(threading.current_thread()))
    monkeypatch.setattr(live, "_remove", lambda *_: threads.add(threading.current_thread()))
    with Live(tmp_path, "cell", {}) as job:
        job.curve = lambda: threads.add(threading.current_thread()) or {}  # type: ignore[func-returns-value]
        for n in range(1000):
            job("unlearning", n, 1000)
        time.sleep(0.05)
    assert threads == {job._writer}
