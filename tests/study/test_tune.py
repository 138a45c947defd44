"""A tuning from its plan to its files, on a task of two dozen questions."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import keys, plugins, registry
from bench.api import make_task
from bench.board.verdict import sentence
from bench.cli.main import main
from bench.compare import analysis
from bench.compare.findings import untuned_beside_tuned
from bench.errors import BenchError, UsageError
from bench.run import executors, presets, provenance, trial
from bench.run.cell import _settings_of
from bench.run.compose import compose
from bench.run.plan import Request, plan, splits
from bench.score import scoring
from bench.store import files, trials
from bench.store.record import Cell, Record, origin
from bench.study import chosen, tune

TASK = "towns"
METHODS = ("fo-graddiff", "simu-npo")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A folder with a task of its own, and a tuning of two methods on it with three trials each."""
    folder = tmp_path_factory.mktemp("tuned")
    plugin, modules = folder / "towns.py", {*sys.modules}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["new", "task", TASK, "--to", str(plugin)]) == 0
        patch.setenv(plugins.VARIABLE, "")
        patch.setattr(sys, "path", [*sys.path])
        plugins.use([plugin])
        registry.scan.cache_clear()
        words = ["tune", "--tasks", TASK, "--trials", "3", "--workers", "1", "--results", "results", "--cache", "cache"]
        assert main([*words, "--methods", ",".join(METHODS)]) == 0
        yield SimpleNamespace(folder=folder, words=words, results=folder / "results")
    for name in {*sys.modules} - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
    registry._things.pop(("task", TASK), None)
    for remembered in (registry.scan, keys.source_hash, provenance._files, scoring.scores_of, make_task, splits):
        remembered.cache_clear()


@pytest.fixture
def plugged(shop, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The folder of the tuning is where one is."""
    monkeypatch.chdir(shop.folder)
    return shop


def request(shop, **changed) -> Request:
    return dataclasses.replace(Request("tiny", "embedded", shop.results, shop.folder / "cache"), **changed)


def tuning(shop, **changed) -> tune.Tuning:
    return dataclasses.replace(tune.Tuning(request(shop), METHODS, (TASK,), 3), **changed)


def read(shop, method: str) -> list[trials.Trial]:
    return trials.read(trials.path(trials.folder(shop.results, "embedded", "tiny", TASK), method))


def test_every_method_has_its_trials_with_four_places_to_stop(shop) -> None:
    for method in METHODS:
        tried = [t for t in read(shop, method) if not t.fresh]
        assert sorted(t.number for t in tried) == [1, 2, 3]
        assert {t.data for t in tried} == {"embedded@validation"}
        for one in tried:
            assert one.status == "ok", one.error
            assert [p.share for p in one.points] == [0.125, 0.25, 0.5, 1.0]
            assert all(0 <= p.scores["headline"] <= 1 for p in one.points)
            assert [p.moved for p in one.points] == sorted(p.moved for p in one.points) or one.points[-1].moved > 0


def test_the_budget_of_updates_is_the_same_for_all(shop) -> None:
    assert len({t.updates for m in METHODS for t in read(shop, m) if not t.fresh}) == 1


def test_what_was_chosen_was_run_again_with_seeds_of_its_own(shop) -> None:
    for method in METHODS:
        fresh = [t for t in read(shop, method) if t.fresh]
        assert {t.seed for t in fresh} == set(tune.FRESH)
        for one in fresh:
            assert [p.share for p in one.points] == [one.chosen.get("stop", 1.0)]


def test_stopping_on_the_way_is_the_run_that_stops_there(plugged, tmp_path: Path) -> None:
    """A point of a trial has the scores of a run of its own with that `stop`, to the digit."""
    made = tuning(plugged)
    (where,) = tune.validation(made.request, TASK, 1)
    first = next(t for t in read(plugged, "fo-graddiff") if t.number == 1 and not t.fresh)
    for share, point in ((0.25, first.points[1]), (0.5, first.points[2])):
        tried = tune._tried(made, where, TASK, "fo-graddiff", 1, {**first.chosen, "stop": share}, 0, True)
        (alone,) = trial._made(tried, lambda *_: None).points
        assert (alone.share, alone.steps) == (share, point.steps)
        assert alone.scores == pytest.approx(point.scores, abs=1e-9)
        assert alone.moved == pytest.approx(point.moved)


def test_a_point_has_the_headline_that_the_board_would_give_it(plugged) -> None:
    """The same erased and kept as `bench.compare` computes from item tables."""
    words = ["run", "--tasks", TASK, "--methods", "fo-graddiff", "--workers", "1"]
    first = next(t for t in read(plugged, "fo-graddiff") if t.number == 1 and not t.fresh)
    setting = [w for name, value in first.chosen.items() for w in ("--set", f"fo-graddiff.{name}={value!r}")]
    assert main([*words, *setting, "--results", "board", "--cache", "cache", "--data", "embedded"]) == 0
    (table,) = analysis.analyse(Path("board"), files.records(Path("board"), print))
    row, target, retrain = (table.row(m) for m in ("fo-graddiff", "target", "retrain"))
    assert row and target and retrain
    own, t, r = ({n: s.value for n, s in of.scores.items()} for of in (row, target, retrain))
    found = trial.shares(own, t, r, [n for n in table.memorisation if n in table.enters], "retain_rouge")
    for name in ("erased", "kept", "headline"):
        assert found[name] == pytest.approx(own[name], abs=1e-6)


def test_a_second_time_nothing_is_run(plugged, capsys) -> None:
    before = {m: read(plugged, m) for m in METHODS}
    assert main([*plugged.words, "--methods", ",".join(METHODS)]) == 0
    assert {m: read(plugged, m) for m in METHODS} == before
    assert "8 of 8 runs are there" in capsys.readouterr().err


def test_the_settings_are_a_file_that_run_reads(plugged) -> None:
    for objective in ("deployable", "oracle"):
        file = plugged.results / "tuning/embedded/tiny" / f"{objective}.toml"
        assert chosen.write(request(plugged)).count(file) == 1
        asked = request(plugged, settings=str(file))
        assert asked.model_label == f"tiny@{objective}"
        found = presets.settings("tiny", str(file))
        said = found.said_of("simu-npo", TASK)
        assert (said["origin"], said["trials"], said["objective"]) == ("tuned", 3, objective)
        assert said["validation"] == ["embedded@validation"] and said["seeds"] == [0] and len(said["digest"]) == 16
        made = compose("simu-npo", "tiny", task=TASK, named=str(file))
        choice = tune.choose(objective, read(plugged, "simu-npo"))
        wanted = tune.setting(choice, read(plugged, "simu-npo"))
        assert {name: made.parameters[name] for name in wanted} == wanted
        assert found.said_of("fo-npo", TASK) == {"origin": "by hand"}
        other = presets.settings("small", str(file))
        assert other.label == "" and other.said_of("simu-npo", TASK)["origin"] == "by hand"


def test_settings_are_not_judged_by_the_data_that_they_were_chosen_on(plugged, capsys) -> None:
    file = str(plugged.results / "tuning/embedded/tiny/oracle.toml")
    text = Path(file).read_text().replace("embedded@validation", "embedded@100")
    Path("seen.toml").write_text(text)
    words = [
        "run",
        "--tasks",
        TASK,
        "--methods",
        "fo-graddiff",
        "--settings",
        "seen.toml",
        "--results",
        "b3",
        "--dry-run",
    ]
    assert main([*words, "--data", "embedded@100"]) == 2
    assert "seen.toml was chosen on embedded@100, for fo-graddiff on towns" in capsys.readouterr().err
    assert main([*words, "--data", "embedded"]) == 0


def test_settings_are_of_methods_that_had_the_same_chance(plugged, tmp_path: Path) -> None:
    """A method with fewer trials, or with other validation data, is left out and named."""
    place = trials.folder(tmp_path, "embedded", "tiny", TASK)
    asked = request(plugged, results=tmp_path)
    first, second = (read(plugged, m) for m in METHODS)

    def written(made) -> str:
        for method, of in zip(METHODS, (first, made), strict=True):
            trials.path(place, method).unlink(missing_ok=True)
            for one in of:
                trials.append(trials.path(place, method), one)
        return chosen.write(asked)[0].read_text()

    assert "Left out" not in written(second)
    said = written([t for t in second if t.number != 3])
    assert f"# Left out of {TASK}: simu-npo, 2 trials on embedded@validation." in said and "lr" in said
    assert '[task."towns".method."simu-npo"]' not in said
    other = [dataclasses.replace(t, data="embedded@7", seed=5) for t in second if t.number == 1]
    assert "simu-npo, 1 trials on embedded@7, embedded@validation" in written([*second, *other])
    assert "nothing to choose" in written([dataclasses.replace(t, points=()) for t in second])


def test_a_tuned_parameter_that_is_set_anew_is_by_hand_at_its_default_too(plugged) -> None:
    file = str(plugged.results / "tuning/embedded/tiny/oracle.toml")
    values = presets.settings("tiny", file)._inner("task", TASK)["method"]["simu-npo"]
    default = compose("simu-npo", "tiny").parameters["lr"]
    assert "lr" in values and default is not None
    for text, wanted in ((None, "tuned"), ("5e-06", "by hand")):
        overrides = {} if text is None else {"simu-npo": {"lr": text}}
        asked = request(plugged, settings=file, overrides=overrides)
        (_, _, cell) = plan(asked, ["simu-npo"], [TASK], [0])
        assert "lr" not in cell.composed.overrides or text is None
        assert _settings_of(cell, presets.settings("tiny", file))["origin"] == wanted


def test_tuned_cells_are_a_board_of_their_own_and_by_hand_is_not_ranked_there(plugged, capsys) -> None:
    file = plugged.results / "tuning/embedded/tiny/oracle.toml"
    words = ["run", "--tasks", TASK, "--methods", "fo-graddiff,fo-npo"]
    assert main([*words, "--settings", str(file), "--results", "board2", "--cache", "cache", "--workers", "1"]) == 0
    assert "says nothing of fo-npo" in capsys.readouterr().err
    (table,) = analysis.analyse(Path("board2"), files.records(Path("board2"), print))
    assert table.model == "tiny@oracle"
    by = {row.method: row for row in table.rows}
    assert by["fo-graddiff"].origin == "tuned (n=3, oracle)" and by["fo-npo"].origin == "by hand"
    assert by["fo-npo"].apart == "settings by hand, beside tuned ones" and by["fo-npo"].rank is None
    assert "1 of 2 methods are set apart, for their settings were not tuned alike" in sentence(table, analysis.Rules())
    record = json.loads(
        files.record_path(Path("board2"), Cell(TASK, "fo-graddiff", "tiny@oracle", "embedded", 0)).read_text()
    )
    said = presets.settings("tiny", str(file)).said_of("fo-graddiff", TASK)
    assert record["settings"] == said and len(said["digest"]) == 16 and record["tuning_trials"] == 3
    board = Path("board2/leaderboard.md").read_text()
    assert "tuned (n=3, oracle)" in board and "of which no number here is" in board


def test_two_processes_share_a_tuning(plugged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once run every trial once between them."""
    ran: list[str] = []
    lock = threading.Lock()

    def made(tried, progress):
        with lock:
            ran.append(tried.claim)
        return dataclasses.replace(trial._empty(tried, "ok", ""), points=(trials.Point(1.0, 0, {}),))

    monkeypatch.setattr(trial, "_made", made)
    monkeypatch.setattr(executors, "AGAIN", 0.01)
    plan = tune.planned(tuning(plugged, request=request(plugged, results=tmp_path)))
    jobs = [job for job in tune._jobs(plan) if job.run is trial.run_trial]
    jobs = [dataclasses.replace(job, needs=job.needs & {j.name for j in jobs}) for job in jobs]
    told: list[BaseException | None] = []
    ended = lambda job, result, error: not told.append(error)  # noqa: E731
    each = [threading.Thread(target=executors.execute, args=(jobs, 1, ended, False)) for _ in range(2)]
    for one in each:
        one.start()
    for one in each:
        one.join()
    assert len(ran) == len(plan) and told == [None] * 2 * len(plan)


def with_anchors(shop, results: Path) -> trial.Tried:
    """The last trial of a tuning into `results`, where only the anchors are measured."""
    planned = tune.planned(tuning(shop, request=request(shop, results=results)))
    for control in ("target", "retrain"):
        for one in read(shop, control):
            trials.append(trials.path(planned[-1].file.parent, control), one)
    return planned[-1]


def test_a_trial_that_somebody_stops_is_not_counted(plugged, tmp_path: Path, monkeypatch) -> None:
    def stopped(tried, progress):
        raise KeyboardInterrupt

    tried = with_anchors(plugged, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(trial, "_made", stopped)
        for _ in range(trial.ATTEMPTS + 1):
            with pytest.raises(KeyboardInterrupt):
                trial.run_trial(tried, print)
    code = f"""
import time
from pathlib import Path
from types import SimpleNamespace
from bench.run import trial
with trial._attempted(SimpleNamespace(file=Path({str(tried.file)!r}), claim={tried.claim!r})) as attempts:
    print(attempts, flush=True)
    time.sleep(60)
"""
    for _ in range(trial.ATTEMPTS):
        worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None and worker.stdout.readline() == "1\n"
        worker.terminate()
        assert worker.wait() == -signal.SIGTERM
    found = trial.run_trial(tried, lambda *_: None)
    assert found is not None and found.status == "ok"


def test_a_trial_whose_anchors_are_missing_is_not_a_failed_one(plugged, tmp_path: Path, monkeypatch) -> None:
    planned = tune.planned(tuning(plugged, request=request(plugged, results=tmp_path)))
    with pytest.raises(BenchError, match="the target of embedded@validation, seed 0, has not been measured"):
        trial.run_trial(planned[-1], print)
    monkeypatch.setattr(trial, "measured", lambda *_: 1 / 0)
    with pytest.raises(BenchError, match="target of embedded@validation, seed 0: .*ZeroDivisionError"):
        trial.run_trial(planned[0], lambda *_: None)
    assert not trials.read(planned[0].file) and not trials.read(planned[-1].file)


def test_a_tuning_that_could_not_be_made_says_so(plugged, monkeypatch, capsys) -> None:
    words = ["tune", "--tasks", TASK, "--methods", "fo-graddiff", "--trials", "1", "--workers", "1", "--cache", "cache"]
    monkeypatch.setattr(trial, "measured", lambda *_: 1 / 0)
    assert main([*words, "--results", "broken"]) == 1
    assert "3 of 3 runs could not be made" in capsys.readouterr().err
    assert not [*Path("broken").rglob("*.jsonl")]


def test_a_trial_whose_process_dies_each_time_is_a_failed_trial(plugged, tmp_path: Path, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    def dies(tried, progress):
        raise Killed

    monkeypatch.setattr(trial, "_made", dies)
    tried = with_anchors(plugged, tmp_path)
    for _ in range(trial.ATTEMPTS):
        with pytest.raises(Killed):
            trial.run_trial(tried, print)
    found = trial.run_trial(tried, print)
    assert found is not None and found.status == "failed" and "killed" in found.error
    assert [t.status for t in trials.read(tried.file)] == ["failed"]


def test_a_method_that_raises_is_a_failed_trial_and_one_that_diverges_keeps_its_points(
    plugged, tmp_path, monkeypatch
) -> None:
    made = tuning(plugged)
    (where,) = tune.validation(made.request, TASK, 1)
    wild = tune._tried(made, where, TASK, "fo-graddiff", 9, {"lr": 1e30, "retain_weight": 1.0})
    found = trial._made(wild, lambda *_: None)
    assert found.status == "diverged" and len(found.points) < 4
    monkeypatch.setattr(trial, "unlearn", lambda *_, **__: 1 / 0)
    found = trial._made(wild, lambda *_: None)
    assert found.status == "failed" and "ZeroDivisionError" in found.error and not found.points


def test_trials_of_other_code_data_or_draws_are_refused_with_the_reason(plugged, tmp_path: Path) -> None:
    own = tuning(plugged)
    with pytest.raises(UsageError, match=r"fo-graddiff\.jsonl holds trials of something else.*the setting"):
        tune.planned(dataclasses.replace(own, seed=1))
    place = trials.path(trials.folder(tmp_path, "embedded", "tiny", TASK), "fo-graddiff")
    old = next(t for t in read(plugged, "fo-graddiff") if t.number == 2)
    made = [(name, {"identity": {**old.identity, name: "other"}})
            for name in ("source of objective graddiff", "forget", "probes", "measure")]  # fmt: skip
    made.append(("parameter epochs", {"parameters": {**old.parameters, "epochs": 7}}))
    for name, changed in made:
        place.unlink(missing_ok=True)
        trials.append(place, dataclasses.replace(old, **changed))
        with pytest.raises(UsageError, match=f"trial 2 was made with other {name}"):
            tune.planned(tuning(plugged, request=request(plugged, results=tmp_path)))
    first = {name: value for name, value in old.identity.items() if name not in trial.LATER}
    place.unlink()
    trials.append(place, dataclasses.replace(old, identity=first))  # as the first trials were
    assert tune.planned(tuning(plugged, request=request(plugged, results=tmp_path)))


def test_validation_data_that_overlap_the_test_are_refused(plugged, monkeypatch: pytest.MonkeyPatch) -> None:
    own = type(make_task(TASK))
    monkeypatch.setattr(own, "validation", lambda self, source, count: (source,))
    with pytest.raises(UsageError, match="overlap the test: 8 of its forget pairs, such as"):
        tune.validation(request(plugged), TASK, 1)
    monkeypatch.delattr(own, "validation")
    with pytest.raises(UsageError, match=f"{TASK} has no data to tune on"):
        tune.validation(request(plugged), TASK, 1)


def test_where_parameters_are_from() -> None:
    cell = Cell(TASK, "fo-npo", "tiny", "embedded", 0)
    tuned = {"origin": "tuned", "trials": 12, "objective": "deployable"}
    said = [
        ({}, {}, "published"),
        ({"lr": "settings"}, {}, "by hand"),
        ({"lr": "--settings soul"}, {"origin": "published"}, "published"),
        ({"lr": "--settings soul"}, {}, "published"),
        ({"lr": "--settings mine.toml"}, {"origin": "by hand"}, "by hand"),
        ({"lr": "--settings deployable.toml"}, tuned, "tuned (n=12, deployable)"),
        ({"lr": "--settings deployable.toml", "beta": "--set"}, tuned, "by hand"),
        ({"lr": "--settings deployable.toml", "beta": "name"}, tuned, "by hand"),
    ]
    for overrides, settings, expected in said:
        assert origin(Record(cell, "ok", {}, {}, overrides=overrides, settings=settings)) == expected


def test_who_is_ranked_beside_tuned_ones() -> None:
    few, many = "tuned (n=4, oracle)", "tuned (n=12, oracle)"
    assert untuned_beside_tuned({"a": many, "b": many}) == set() == untuned_beside_tuned({"a": "by hand", "b": ""})
    said = {"a": many, "b": few, "c": f"{many}, by hand", "d": "published", "e": f"{many}, {few}"}
    assert untuned_beside_tuned(said) == {"b", "c", "d", "e"}
