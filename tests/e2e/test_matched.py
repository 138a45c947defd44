"""Utility at matched forgetting, from the outside: one method that gets as far as retrain and one that does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("matched")]  # one worker: its runs are shared
METHODS = "fo-ga,fo-npo"  # the second is kept from learning anything


@pytest.fixture(scope="module")
def words(world) -> list[str]:
    words = ["--methods", METHODS, "--tasks", "tofu:forget10", "--data", str(world), "--match", "utility"]
    return [*words, "--set", "fo-ga.epochs=20", "--set", "fo-npo.lr=1e-12", "--workers", "2"]


@pytest.fixture(scope="module")
def finished(bench, words):
    return bench("run", *words)


def record(bench, method: str) -> dict:
    folder: Path = bench.folder / "results" / "files" / "tiny" / "tofu-forget10"
    return json.loads((folder / f"{method}.seed0.json").read_text())


def test_the_matched_model_forgets_as_much_as_retrain(bench, finished):
    made, retrain = record(bench, "fo-ga@matched"), record(bench, "retrain")
    level = retrain["scores"]["probability"]["value"]
    assert made["status"] == "ok"
    assert made["scores"]["probability"]["value"] == pytest.approx(level, abs=0.005)
    assert made["curve"]["forget probability"][-1] == pytest.approx(made["scores"]["probability"]["value"], abs=1e-4)
    assert made["curve"]["retrain's forget probability"][-1] == level
    assert record(bench, "fo-ga")["scores"]["probability"]["value"] < level
    assert set(made["scores"]) == set(retrain["scores"])
    assert any("at matched forgetting" in note for note in made["notes"])
    assert "at matched forgetting" in bench("show", "fo-ga@matched").stdout


def test_its_weights_lie_on_the_straight_way(bench, finished):
    made, plain = record(bench, "fo-ga@matched"), record(bench, "fo-ga")
    share = made["curve"]["share of the way"][-1]
    keys = {"start": plain["identity"]["start"], "end": plain["keys"]["train"], "point": made["keys"]["train"]}
    folder = bench.folder / ".cache" / "models"
    models = {name: load_file(folder / key / "model.safetensors") for name, key in keys.items()}
    assert 0 < share < 1
    for name, weights in models["point"].items():
        expected = (1 - share) * models["start"][name] + share * models["end"][name]
        assert torch.allclose(weights, expected, atol=1e-6), name


def test_not_reached_is_a_result_without_numbers(bench, words, finished):
    made = record(bench, "fo-npo@matched")
    assert (made["status"], made["scores"]) == ("not reached", {})
    assert "above retrain's" in made["error"]
    assert "not reached: tofu:forget10/fo-npo@matched" in finished.stderr
    again = bench("run", *words)  # exit 0, nothing done again
    assert "nothing to do" in again.stderr
    states = bench("run", "--dry-run", *words).stdout.splitlines()
    assert all(line.startswith("done") for line in states) and sum("@matched" in line for line in states) == 2
    assert any("not reached: the forget probability ends at" in line for line in states)
