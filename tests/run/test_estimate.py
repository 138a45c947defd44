"""What a run will take is said beforehand: memory near what is measured, and what cannot fit is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from transformers import LlamaConfig

from bench import registry
from bench.cli.cells import _estimated
from bench.cli.main import main
from bench.errors import BenchError
from bench.model import models, recipes
from bench.model.recipes import SCRATCH
from bench.registry import load
from bench.run import estimate, refusal, site
from bench.run.estimate import estimates
from bench.run.plan import Planned, Request, model_folder, plan, prepared
from bench.run.refusal import duration, refuse, size
from bench.run.site import CRITICAL, Site, weights_moved
from bench.run.speed import Speed, speed
from bench.run.workload import Lengths, shape

ROOT = Path(__file__).resolve().parents[2]
TASK = "tofu:forget01"
SMALL = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, heads=2, vocab_size=300)
GIB = 1 << 30


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A run of small models on a machine whose speed is known: a second holds as many operations as written here."""
    monkeypatch.setitem(SCRATCH, "tiny", SMALL)
    monkeypatch.setattr(site, "speed", lambda *_: Speed(1e9, 1e5, 1e9))
    monkeypatch.setattr(site, "resident_bytes", lambda: 100 << 20)
    shape.cache_clear()
    yield Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache")
    shape.cache_clear()


def planned(request: Request, *methods: str) -> list[Planned]:
    return plan(request, methods, [TASK], [0])


def test_models_to_teach_come_first_and_a_cell_costs_more_than_its_measuring(asked):
    said = estimates(asked, planned(asked, "fo-npo", "fo-ga", "so-npo"))
    names = [e.name for e in said]
    assert [name.partition(",")[0].partition(" (")[0] for name in names[:3]] == [
        "base", f"retrain for {TASK}", "target",
    ]  # fmt: skip
    methods = ("retrain", "target", "fo-npo", "fo-ga", "so-npo")
    assert names[3:] == [f"{TASK}/{m}/tiny/embedded/seed0" for m in methods]
    cost = dict(zip(methods, said[3:], strict=True))
    assert cost["fo-npo"].seconds > cost["fo-ga"].seconds > cost["target"].seconds > 0
    assert cost["so-npo"].seconds == cost["fo-npo"].seconds
    assert all(e.bytes > 100 << 20 for e in cost.values())


@pytest.mark.usefixtures("alone")
def test_a_base_that_is_taught_nothing_is_estimated(asked, tmp_path, monkeypatch):
    """A task from questions of one's own has no lessons for the base."""
    place = tmp_path / "own_towns.py"
    assert main(["new", "task", "own-towns", "--to", str(place)]) == 0
    monkeypatch.setenv("UNLEARNING_BENCH_PLUGINS", str(place))
    registry.scan.cache_clear()
    base, *others = estimates(asked, plan(asked, ["fo-ga"], ["own-towns"], [0]))
    assert base.name.startswith("base") and base.seconds == 0 < min(e.seconds for e in others)
    assert 100 << 20 < base.bytes < others[0].bytes


def test_models_that_are_kept_are_not_taught_again(asked):
    cells = planned(asked, "fo-npo")
    model_folder(asked, prepared(asked, TASK, "base", 0).key).mkdir(parents=True)
    (asked.cache / "models").joinpath(cells[-1].keys["train"]).mkdir()
    tokenizer = models.train_tokenizer(["some words"], 300)
    tokenizer.save_pretrained(model_folder(asked, prepared(asked, TASK, "base", 0).key))
    said = estimates(asked, cells)
    assert [e.name.partition(",")[0] for e in said[:2]] == [f"retrain for {TASK}", "target"]
    assert said[-1].seconds == said[-2].seconds  # measuring alone, as the target


def test_what_moves_takes_gradients_and_state(asked):
    """Of all weights 12 bytes each beside the weights themselves, of attention's only its own."""
    task = Site(asked, TASK)
    everything = load("scope", "all")()
    attention = load("scope", "attention")()
    assert weights_moved(task, everything) == task.weights
    assert weights_moved(task, attention) == 2 * 4 * 32 * 32
    work = estimate.Training(4, 64, 100, 50.0, 10)
    whole, part = (estimate._trained(task, work, s, weights_moved(task, s), 8)[0] for s in (everything, attention))
    passes = [task.count(4, 64, 100, scope=s).peak for s in (everything, attention)]
    assert whole - part == 12 * (task.weights - 2 * 4 * 32 * 32) + passes[0] - passes[1]
    assert passes[0] > passes[1]


def test_neurons_that_nobody_knows_are_a_tenth(asked):
    task, simu = Site(asked, TASK), load("scope", "simu")
    attention, down = 2 * 4 * 32 * 32, 2 * 32 * 48
    assert weights_moved(task, simu()) == attention + round(CRITICAL * down)
    assert weights_moved(task, simu(neurons="all")) == attention + down
    assert weights_moved(task, simu(neurons="none")) == attention
    assert weights_moved(task, simu(attention=False)) == round(CRITICAL * down)


def test_precision_decides_the_bytes_of_a_weight(asked):
    def held(precision: str) -> int:
        task = Site(dataclasses.replace(asked, precision=precision), TASK)
        work = estimate.Training(1, 8, 1, 8.0, 1)
        passed = task.count(1, 8, 1)
        return estimate._trained(task, work, None, task.weights, 8)[0] - passed.peak - task.baseline - task.warm

    weights = Site(asked, TASK).weights
    assert held("float32") == held("mixed") == weights * (4 + 4 + 8)
    assert held("bfloat16") == weights * (2 + 2 + 2 + 8)  # weight, remainder, gradient, state


def test_seconds_are_those_of_the_steps(asked):
    task = Site(asked, TASK)
    work = estimate.Training(4, 64, 100, 64.0, 10)
    passed = task.count(4, 64, 100)
    one = passed.flops / 1e9 + passed.operations / 1e5 + passed.written / 1e9
    assert Speed(1e9, 1e5, 1e9).seconds(passed) == pytest.approx(one)
    assert estimate._trained(task, work, None, 1000, 8)[1] == pytest.approx(10 * (one + 1000 * 20 / 1e9))
    half = work._replace(width=32.0, steps=20)
    assert estimate._trained(task, half, None, 1000, 8)[1] == pytest.approx(20 * (one / 2 + 1000 * 20 / 1e9))


def test_batches_are_as_wide_as_their_longest():
    lengths = Lengths(np.array([5, 20]), np.array([2, 3]), 40)
    assert lengths.longest == 24
    assert lengths.total == 100
    assert lengths.width(1) == pytest.approx((8 + 24) / 2, abs=2)
    assert lengths.width(64) == 24


def test_a_speed_is_a_number_of_each_kind():
    seen = speed(64, "cpu")
    assert seen.flops > 1e8 and seen.operations > 1e3 and seen.bytes > 1e7


# -- refusal ---------------------------------------------------------------------------------------------------------


def test_what_cannot_fit_is_refused_with_what_to_change(asked, monkeypatch):
    monkeypatch.setattr(refusal, "free_bytes", lambda device: 30 << 20)
    monkeypatch.setattr(refusal, "resident_bytes", lambda: 0)
    monkeypatch.setattr(refusal, "FAR", 1e6)
    with pytest.raises(BenchError) as caught:
        refuse(asked, planned(asked, "fo-npo"), 1)
    said = str(caught.value)
    assert f"{TASK}/fo-npo/tiny/embedded/seed0" in said
    assert "and 30 MB are free" in said
    for words in ("--precision bfloat16", "npo+adamw+attention", "npo+adamw+lora", "npo+adamw-8bit", "FSDP"):
        assert words in said


def test_workers_count_together(asked, monkeypatch):
    """A process takes 164 MB: one fits into 300, two do not."""
    monkeypatch.setattr(refusal, "free_bytes", lambda device: 300 << 20)
    monkeypatch.setattr(refusal, "resident_bytes", lambda: 0)
    monkeypatch.setattr(refusal, "FAR", 1e6)
    cells = planned(asked, "fo-npo")
    refuse(asked, cells, 1)
    with pytest.raises(
        BenchError, match=r"2 workers need 3\d\d MB of memory together.*300 MB are free. Take --workers 1\."
    ):
        refuse(asked, cells, 2)


def test_small_models_are_not_looked_at(asked, monkeypatch):
    monkeypatch.setattr(refusal, "estimates", lambda *_, **__: pytest.fail("counted in vain"))
    refuse(asked, planned(asked, "fo-npo"), 2)


@pytest.mark.slow
def test_a_large_checkpoint_is_refused_without_its_weights(tmp_path, monkeypatch):
    """A configuration and a tokenizer are enough to say that 6700 million weights do not fit into 20 GiB."""
    folder = tmp_path / "llama-7b"
    LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, vocab_size=300,
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)  # fmt: skip
    models.train_tokenizer(["Who is ada? She lives in Oslo."], 300).save_pretrained(folder)
    asked = Request(str(folder), "embedded", tmp_path / "results", tmp_path / "cache")
    monkeypatch.setattr(recipes, "_content", lambda folder: {})  # of weights that are not there
    monkeypatch.setattr(refusal, "free_bytes", lambda device: 20 * GIB)
    monkeypatch.setattr(estimate, "free_bytes", lambda device: 20 * GIB)
    monkeypatch.setattr(site, "speed", lambda *_: Speed(1e12, 1e5, 1e11))
    cells = planned(asked, "fo-npo")
    with pytest.raises(BenchError, match=r"each needs up to (9\d|10\d)\.\d GB of memory"):
        refuse(asked, cells, 1)
    cost = {e.planned.cell.method: e for e in estimates(asked, cells) if e.planned}
    assert 24 * GIB < cost["target"].bytes < 40 * GIB
    assert 95 * GIB < cost["fo-npo"].bytes < 110 * GIB


# -- in words --------------------------------------------------------------------------------------------------------


def test_sizes_and_durations_in_words():
    assert [size(x << 20) for x in (3, 900, 1024, 20000)] == ["3 MB", "900 MB", "1.0 GB", "19.5 GB"]
    assert [duration(x) for x in (3.2, 99, 300, 7200)] == ["3 s", "99 s", "5 min", "2.0 h"]


def test_lines_of_a_dry_run(asked):
    cells = planned(asked, "fo-npo")
    costs, sums = _estimated(asked, cells, 2)
    assert {str(c.cell) for c in cells} <= set(costs)
    assert [line.split()[:2] for line in sums[:3]] == [["teach", "base"], ["teach", "retrain"], ["teach", "target,"]]
    assert sums[3].startswith("estimated: ") and "in each of 2 processes" in sums[3]
    done = [dataclasses.replace(c, state="done") for c in cells]
    assert _estimated(asked, done, 2) == ({}, [])


def test_adapters_are_counted(asked):
    """A and B of rank 8 beside 4 projections of attention and 3 of the MLP in 2 layers: 8 (inputs + outputs) each."""
    pytest.importorskip("peft")
    task, lora = Site(asked, TASK), load("scope", "lora")()
    assert weights_moved(task, lora) == 2 * 8 * (4 * (32 + 32) + 3 * (32 + 48))
    (cell,) = [e for e in estimates(asked, planned(asked, "npo+adamw+lora")) if "lora" in e.name]
    (whole,) = [e for e in estimates(asked, planned(asked, "npo+adamw")) if "npo+adamw" in e.name]
    assert 0 < cell.bytes <= whole.bytes


def test_what_is_given_is_not_taught(asked):
    """Neither target and retrain of a pair nor what is measured as it is: they are there, and only measured."""
    given = dataclasses.replace(planned(asked, "fo-npo")[-1].start, given="somewhere", stage="given")
    cells = [dataclasses.replace(c, start=given) for c in planned(asked, "fo-npo")]
    assert all(e.planned for e in estimates(asked, cells) if not e.name.startswith("base"))


def test_a_dry_run_refuses_as_a_run_does(tmp_path, monkeypatch, capsys):
    from bench.cli.main import main

    monkeypatch.setattr(refusal, "free_bytes", lambda device: 30 << 20)
    monkeypatch.setattr(refusal, "resident_bytes", lambda: 0)
    monkeypatch.setattr(refusal, "FAR", 1e6)
    words = ["--methods", "fo-npo", "--tasks", "tofu:forget01", "--workers", "1", "--results", str(tmp_path / "r")]
    assert main(["run", "--dry-run", *words, "--cache", str(tmp_path / "c")]) == 1
    told = capsys.readouterr()
    assert "to do  tofu:forget01/fo-npo/tiny/embedded/seed0" in told.out
    assert "30 MB are free. Take" in told.err and "--target DIR --retrain DIR" in told.err


def test_a_transform_that_trains_is_counted(asked):
    """Twice the passes, about twice the seconds on top of measuring."""
    told = {name: e.seconds for name in ("target", "task-vector", "task-vector@epochs=10")
            for e in estimates(asked, planned(asked, name)) if f"/{name}/" in e.name}  # fmt: skip
    once, twice = (told[name] - told["target"] for name in ("task-vector", "task-vector@epochs=10"))
    assert once > 0 and twice == pytest.approx(2 * once, rel=0.01)
