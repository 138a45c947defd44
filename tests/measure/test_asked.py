"""Probes that files declare: measured behind what a task measures, scored where they were asked for, and keyed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import keys, registry
from bench.api import Probes, Prompt, Text
from bench.cli.main import main
from bench.measure.asked import added, joined
from bench.measure.one_pass import measure
from bench.model import models
from bench.model.recipes import SCRATCH
from bench.run.plan import Request, metrics, plan
from bench.score.scoring import item_table, score_items, scores_of

pytestmark = pytest.mark.usefixtures("alone")
SHAPE = dataclasses.replace(SCRATCH["tiny"], hidden_size=32, intermediate_size=48, layers=1, heads=2, vocab_size=300)
PROBES = Probes(
    tuple(Text("forget", str(n), str(n), "answer", f"What is {n}?", f"{n} and more") for n in range(3)),
    tuple(Prompt("forget", str(n), str(n), "question", f"What is {n}?", f"{n} and more", 4) for n in range(3)),
)


@pytest.fixture
def shouted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The probe that `bench new` writes, plugged in."""
    place = tmp_path / "own_shouted.py"
    assert main(["new", "probe", "own-shouted", "--to", str(place)]) == 0
    monkeypatch.setenv("UNLEARNING_BENCH_PLUGINS", str(place))
    for known in (registry.scan, scores_of):  # by whatever test was before
        known.cache_clear()
    return place


def test_it_is_measured_behind_the_task_whose_rows_stay_as_they_are(shouted: Path):
    torch.set_num_threads(1)
    tokenizer = models.train_tokenizer([t.prompt + " " + t.continuation for t in PROBES.texts], 300)
    lm = models.new_llama(SHAPE, tokenizer, 0)
    plain = measure(lm, PROBES)
    assert added(plain, lm, PROBES, ["reference"], lambda *_: None) is plain
    both = added(plain, lm, PROBES, ["own-shouted"], lambda *_: None)
    assert both.texts.equals(plain.texts) and np.array_equal(both.logp.flat, plain.logp.flat)
    assert both.generations["set"].tolist() == ["forget"] * 3 + ["own-shouted"] * 3
    asked = measure(lm, Probes((), tuple(dataclasses.replace(p, prompt=p.prompt.upper()) for p in PROBES.prompts)))
    assert both.generations["generation"].tolist()[3:] == asked.generations["generation"].tolist()
    names = ["rouge", "own_shouted_rouge"]
    scores = score_items(item_table(both, names), None, names)
    assert (
        scores["own_shouted_rouge"].n == 3
        and scores["rouge"] == score_items(item_table(plain, ["rouge"]), None, ["rouge"])["rouge"]
    )


def test_ragged_values_are_joined_end_to_end():
    lm = models.new_llama(SHAPE, models.train_tokenizer([t.prompt for t in PROBES.texts], 300), 0)
    one, two = (measure(lm, Probes(texts, ())) for texts in (PROBES.texts[:2], PROBES.texts[2:]))
    both = joined(one, two)
    sizes = [*np.diff(one.logp.offsets), *np.diff(two.logp.offsets)]
    assert np.diff(both.logp.offsets).tolist() == sizes and len(both.hit.flat) == sum(sizes)
    assert np.array_equal(both.var.flat[both.var.offsets[2] :], two.var.flat)


def test_keys_and_scores_know_of_a_probe_only_where_it_was_asked_for(shouted: Path, tmp_path: Path):
    def target(*probes: str):
        request = Request("tiny", "embedded", tmp_path / "results", tmp_path / "cache", probes=probes)
        return next(c for c in plan(request, ["target"], ["tofu:forget10"], [0]) if c.cell.method == "target")

    plain, asked = target(), target("own-shouted")
    assert "own_shouted_rouge" not in metrics("tofu:forget10")
    assert "own_shouted_rouge" in metrics("tofu:forget10", ("own-shouted",))
    assert plain.keys["train"] == asked.keys["train"] and plain.keys["measure"] != asked.keys["measure"]
    assert not [name for name in plain.identity if "shouted" in name]
    assert asked.identity["source of probe own-shouted"] == keys.source_hash("own_shouted")
    keys.source_hash.cache_clear()
    shouted.write_text(shouted.read_text().replace("upper()", "title()"))
    assert target("own-shouted").keys["measure"] != asked.keys["measure"]


def test_an_unknown_probe_is_told_with_those_that_there_are(shouted: Path, tmp_path: Path, capsys):
    assert main(["run", "--methods", "fo-ga", "--tasks", "tofu:forget10", "--probes", "own-shout", "--dry-run"]) == 2
    assert "no probe 'own-shout'. Did you mean 'own-shouted'?" in capsys.readouterr().err
