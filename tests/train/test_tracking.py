"""The course of a run: what its curve keeps, the trace that alters nothing, and trackers that get it as it is made."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from accelerate.tracking import GeneralTracker

from bench.api import Pair
from bench.cli.main import main
from bench.contracts import Context
from bench.errors import UsageError
from bench.model import models
from bench.model.recipes import SCRATCH, Teaching
from bench.run import cell as runner
from bench.run.compose import compose
from bench.run.plan import Request, plan
from bench.train import tracking
from bench.train.loop import Curve
from bench.train.teaching import teach
from bench.train.unlearning import unlearn

PAIRS = [Pair(f"Who is number {n}?", f"{chr(97 + n) * 3} and {n * 7}") for n in range(8)]
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=2, heads=2, vocab_size=300)


class Notebook(GeneralTracker):
    """A tracker that keeps what it is told."""

    name = "notebook"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.config: dict = {}
        self.lines: list[tuple[int, dict]] = []
        self.ended = False

    @property
    def tracker(self):
        return self.lines

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step=None, **_):
        self.lines.append((step, values))

    def finish(self):
        self.ended = True


def run(tmp_path, method="simu-graddiff", **how):
    torch.set_num_threads(1)
    lm = models.new_llama(SHAPE, models.train_tokenizer([p.prompt + " " + p.answer for p in PAIRS], 300), seed=0)
    retain, forget = ([lm.encode(p.prompt, p.answer) for p in half] for half in (PAIRS[:4], PAIRS[4:]))
    context = Context(lm, forget, retain, "toy", 0, tmp_path, lambda *_: None)
    parts = compose(method, "tiny").parts
    curve, _ = unlearn(context, *(parts[k] for k in ("objective", "optimizer", "scope", "schedule")), **how)
    return lm, curve


@pytest.mark.parametrize("method", ["simu-graddiff", "fo-npo"])
def test_a_curve_keeps_every_loss_term_norm_rate_and_what_is_clipped(tmp_path, method):
    """Five epochs of one batch: five lines; Sophia's have the share of clipped weights, AdamW clips none."""
    columns = run(tmp_path, method)[1].columns()
    told = {"step", "lr", "gradient_norm", "forget", "retain"} | ({"clipped"} if method.startswith("simu") else set())
    assert {name for name in columns if not name.startswith("trace ")} == told
    assert columns["step"] == [1, 2, 3, 4, 5]
    assert all(0 <= share <= 1 for share in columns.get("clipped", []))


def test_the_trace_alters_no_weight(tmp_path):
    """Bit for bit, and with 0 points there is none."""
    (plain, bare), (probed, full) = run(tmp_path, trace=0), run(tmp_path, trace=3)
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), probed.model.parameters(), strict=True))
    assert bare.trace == [] and [point["step"] for point in full.trace] == [0, 2, 3, 5]


def test_a_curve_that_is_handed_in_is_filled_on_the_way(tmp_path):
    """So that another thread can look on; the curve that comes back is the same one."""
    curve, told = Curve(), []
    assert run(tmp_path, curve=curve, log=lambda line, step: told.append((step, len(curve.lines))))[1] is curve
    assert told == [(step, step) for step in range(1, 6)] and len(curve.trace) > 1
    taught = Curve()
    lm = models.new_llama(SHAPE, models.train_tokenizer([p.prompt + " " + p.answer for p in PAIRS], 300), seed=0)
    assert teach(lm, PAIRS, Teaching(epochs=1, batch_size=4, lr=1e-3), key="k", curve=taught) is taught
    assert len(taught.lines) == 2


def test_neither_the_trace_nor_a_tracker_is_part_of_a_key(tmp_path):
    request = Request("tiny", "embedded", tmp_path, tmp_path)
    asked = dataclasses.replace(request, trace=0, track="tensorboard")
    keys, same = ([dict(c.keys) for c in plan(r, ["fo-npo"], ["tofu:forget10"], [0])] for r in (request, asked))
    assert keys == same


def test_each_cell_has_a_folder_of_its_own(tmp_path):
    pytest.importorskip("tensorboard")
    request = Request("tiny", "embedded", tmp_path, tmp_path, track="tensorboard")
    planned = plan(request, ["fo-npo"], ["tofu:forget10"], [0])[-1]
    with runner._log(request, planned) as log:
        log({"loss": 1.0}, 1)
    assert any((tmp_path / "tracking" / "embedded" / "tiny" / "tofu-forget10" / "fo-npo.seed0").rglob("events.*"))
    with runner._log(dataclasses.replace(request, track=""), planned) as nothing:
        assert nothing is None


def test_a_tracker_gets_every_line_and_the_parameters(tmp_path):
    notebook = Notebook()
    with tracking.tracked(notebook, tmp_path / "tracking", "a/cell", {"lr": 0.1, "betas": (0.9, 0.95)}) as log:
        curve = run(tmp_path, log=log)[1]
    assert [step for step, _ in notebook.lines] == [1, 2, 3, 4, 5]
    assert [values for _, values in notebook.lines] == curve.lines
    assert notebook.config == {"lr": 0.1, "betas": "(0.9, 0.95)"} and notebook.ended


def test_tensorboard_finds_the_curve_in_its_folder(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tracking.tracked("tensorboard", tmp_path / "cell", "a/cell", {"lr": 0.1}) as log:
        curve = run(tmp_path, log=log)[1]
    read = event_accumulator.EventAccumulator(str(tmp_path / "cell" / tracking.PROJECT))
    read.Reload()
    for name in curve.lines[0]:
        points = [(event.step, event.value) for event in read.Scalars(name)]
        assert points == [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in curve.lines]


def test_a_tracker_that_is_not_there_is_refused(monkeypatch):
    with pytest.raises(UsageError, match=r"--track tensorbord: .*no such tracker. Known: .*tensorboard"):
        tracking.check("tensorbord")
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(UsageError, match="pip install wandb"):
        tracking.check("wandb")


def test_a_run_refuses_its_tracker_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--track", "tensorbord"]) == 2
    assert "no such tracker" in capsys.readouterr().err and not list(tmp_path.iterdir())
