"""What attacks cost beside measuring, on tiny and the embedded world.

    pytest tests/benchmarks/test_attacks.py --benchmark-enable -m '' -s

The model is made here: a tiny one that was taught the task for a few epochs, which costs what any other does. Seconds
of the processor on one thread; on a busy machine nothing is judged.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest
import torch

from bench.api import make_task
from bench.attacks._asked import forget_items, kept_items
from bench.attacks._subject import Subject
from bench.keys import stream
from bench.measure.one_pass import measure
from bench.model.models import LM, new_llama, train_tokenizer
from bench.model.recipes import SCRATCH
from bench.run.attacking import make, select
from bench.train.teaching import teach
from tests.benchmarks._timing import Clock

pytestmark = [pytest.mark.slow, pytest.mark.benchmark_suite]
TASK = "tofu:forget10"
ROUNDS = 3
MODELS, CORES, LIMIT = 12, 2, 15 * 60
"""Ten methods with target and retrain, on two cores, in seconds."""


@pytest.fixture(scope="module")
def subject() -> Subject:
    data, recipe = make_task(TASK).data("embedded"), SCRATCH["tiny"]
    lm: LM = new_llama(recipe, train_tokenizer(data.corpus, recipe.vocab_size), seed=0)
    teach(lm, data.full, dataclasses.replace(recipe.finetune, epochs=4), key="benchmark")
    items, kept = forget_items(data, stream("items")), kept_items(data, stream("kept"))
    return Subject(lm, items, kept, data, lambda: lm, lambda: lm, partial(stream, "a"), _quiet, recipe.finetune.lr)


def _quiet(what: str, done: int, total: int) -> None:
    """Nobody looks on."""


def carry_out(subject: Subject, names: list[str]) -> Any:
    """Attacks on a model that has answered nothing yet."""
    anew = dataclasses.replace(subject, _ready={})
    return [list(make(name).run(anew)) for name in names]


def test_light_attacks_cost_half_of_measuring_at_most(subject: Subject, clock: Clock) -> None:
    torch.set_num_threads(1)
    for _ in range(ROUNDS):
        clock.time("light attacks", lambda: carry_out(subject, select("light")))
        clock.time("measuring", lambda: measure(subject.lm, subject.data.probes))
    clock.only_if_quiet()
    assert clock.cpu("light attacks") < 0.5 * clock.cpu("measuring")


def test_all_attacks_on_ten_methods_take_a_quarter_of_an_hour_at_most(subject: Subject, clock: Clock) -> None:
    torch.set_num_threads(1)
    clock.time("all attacks on a model", lambda: carry_out(subject, select("all")))
    clock.only_if_quiet()
    assert clock.cpu("all attacks on a model") * MODELS / CORES < LIMIT
