"""A model that knows the forget set by heart makes no retrain model: measured, told from others, refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from bench.api import Pair
from bench.cli.main import main
from bench.measure.known import DOUBTFUL, LEARNT, known
from bench.measure.one_pass import measure
from bench.measure.sample import SAMPLE
from bench.model import models
from bench.run import prepare
from bench.run.judging import Unfit, verdict
from bench.run.plan import splits
from bench.score.foreign import read_log
from bench.score.scoring import item_table, score_items
from bench.store import files
from bench.train.loop import Curve
from tests.pretrained.conftest import Checkpoint, Taught

TASK = "tofu:forget10"
RESULTS = Path(__file__).resolve().parents[2] / "results"


def test_it_is_the_boards_forget_probability(taught: Taught, world):
    data = splits(TASK, world)
    for folder in taught:
        lm = models.load(folder)
        items = item_table(measure(lm, data.probes), ["probability"])
        score = score_items(items, None, ["probability"])["probability"]
        assert known(lm, data.forget) == pytest.approx(score.value, rel=1e-4)


def test_it_is_of_a_spread_sample(taught: Taught, monkeypatch):
    seen: list[int] = []

    def count(lm, items, batch_size):
        seen.append(len(items))
        return models.torch.zeros(len(items))

    monkeypatch.setattr("bench.measure.known.answer_logps", count)
    lm = models.load(taught.target)
    assert [known(lm, [Pair(str(n), "a") for n in range(count)]) for count in (1, 64, 65, 400)] == [1.0] * 4
    assert seen == [1, 64, 33, 58] and max(seen) <= SAMPLE


@pytest.mark.parametrize("method", ["target", "retrain"])
def test_every_committed_model_is_on_its_side(method):
    """The mean of p^(1/n) over the forget answers of each: far from both thresholds; of parts it scatters more."""
    found, parts = [], []
    for path in sorted(RESULTS.glob(f"*/*/*/{method}.seed*.json")):
        if "@" in path.parts[-3]:  # the same models once more, beside tuned methods
            continue
        items = files.items(RESULTS, files.read(path).cell)
        share = float(np.exp(-items.loc[items["set"] == "forget", "loss"]).mean())
        (parts if path.parts[-2].startswith("sequence") else found).append(share)
    assert len(found) >= 22 and len(parts) >= 160
    if method == "target":
        assert min(found + parts) > 0.93 > LEARNT
    else:
        assert max(found) < 0.11 and max(parts) < 0.15 < DOUBTFUL


@pytest.mark.parametrize(
    ("name", "low", "high"), [("full", 0.98, 1), *((f"retain{n}", 0.14, 0.19) for n in (90, 95, 99))]
)
def test_the_authors_models_are_on_their_sides(name, low, high, shared_data: Path):
    items = read_log(shared_data / "tofu_logs" / f"llama2-7b_{name}.json").items
    share = float(np.exp(-items.loc[items["set"] == "forget", "loss"]).mean())
    assert low < share < high and (share >= LEARNT) == (name == "full") and (share < DOUBTFUL) == (name != "full")


def test_what_is_said_of_a_share():
    assert [verdict(0.29, "org/m", role, TASK) for role in ("base", "retrain")] == [[], []]
    assert verdict(0.3, "org/m", "target", TASK) == []
    (few,), (base,) = verdict(0.29, "org/m", "target", TASK), verdict(0.49, "org/m", "base", TASK)
    assert few.endswith("of tofu:forget10 a probability of 0.29: it has hardly learnt what it is to lose")
    assert base.startswith("org/m, the base, gives") and base.endswith("0.49: it may have seen some of them")
    with pytest.raises(Unfit, match="--target org/m --retrain DIR_OR_ID"):
        verdict(0.5, "org/m", "base", TASK)
    with pytest.raises(Unfit, match="without the forget set"):
        verdict(0.5, "org/m", "retrain", TASK)
    assert verdict(float("nan"), "org/m", "base", TASK) == []


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fine-tunings that were begun; none is carried out."""
    names: list[str] = []
    monkeypatch.setattr(prepare, "teach", lambda *_, name, **__: names.append(name) or Curve())
    return names


def bench(command: str, world: str, tmp_path: Path, *typed: object) -> int:
    words = [command, "--tasks", TASK, "--data", world, "--cache", tmp_path / "cache", "--workers", 1]
    words += ["--methods", "fo-npo", "--results", tmp_path / "r"] if command == "run" else []
    return main([*map(str, [*words, *typed])])


@pytest.mark.parametrize("command", ["run", "prepare"])
def test_a_base_that_knows_the_answers_is_refused(command, taught: Taught, world, tmp_path, begun, capsys):
    assert bench(command, world, tmp_path, "--model", taught.target) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith(
        f"error: '{taught.target}' gives the forget answers of tofu:forget10 a probability of 0.9"
    )
    assert f"--target {taught.target} --retrain DIR_OR_ID" in said[-1]
    assert not begun and not [*(tmp_path / "cache").glob("models/*")]
    assert not [*(tmp_path / "r").rglob("*.json")]


def test_a_base_that_does_not_is_taught(taught: Taught, checkpoint: Checkpoint, world, tmp_path, begun):
    assert bench("prepare", world, tmp_path, "--model", taught.retrain) == 0
    assert bench("prepare", world, tmp_path, "--model", checkpoint(positions=512)) == 0
    assert len(begun) == 4


def test_a_retrain_model_that_knows_them_is_refused(taught: Taught, world, tmp_path, capsys):
    assert bench("run", world, tmp_path, "--target", taught.retrain, "--retrain", taught.target) == 2
    said = capsys.readouterr().err
    assert f"error: '{taught.target}' gives the forget answers" in said and "must not" in said.splitlines()[-1]
    assert not [*(tmp_path / "r").rglob("*.seed0.json")]


def test_a_refusal_comes_back_from_a_process_of_its_own():
    with pytest.raises(Unfit) as error:
        verdict(0.9, "org/m", "retrain", TASK)
    again = pickle.loads(pickle.dumps(error.value))
    assert isinstance(again, Unfit) and str(again) == str(error.value)


def test_a_target_that_knows_nothing_is_said(taught: Taught, world, tmp_path, checkpoint: Checkpoint, capsys):
    """Two models that never saw the forget set: nothing can be erased, which is a remark and no misuse."""
    twin = checkpoint("twin", tokenizer=models.load_tokenizer(taught.retrain), positions=512)
    other = checkpoint("other", tokenizer=models.load_tokenizer(taught.retrain), positions=512, seed=1)
    assert bench("run", world, tmp_path, "--target", twin, "--retrain", other, "--methods", "target") == 0
    assert "warning: twin-" in (said := capsys.readouterr().err)
    assert said.count("hardly learnt what it is to lose") == 1
    board = (tmp_path / "r" / "leaderboard.md").read_text()
    assert "the target, gives the forget answers of tofu:forget10 a probability of 0.0" in board
