"""Whatever is registered, built in or a newcomer's, keeps the contracts: it is found here by name, nobody adds it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from bench import registry
from bench.conformance import of_attack, of_method, of_task
from bench.conformance import toy as toys

METHODS = registry.names("method")
GRADIENT = [n for n in METHODS if "objective" in registry.find("method", n).parts]
PARTS = [(kind, name) for kind in ("objective", "optimizer", "scope") for name in registry.names(kind)]


@cache
def toy(name: str, again: bool = False) -> toys.Toy:
    """A run of the method on the toy, once for all that is asked of it."""
    with TemporaryDirectory() as folder:
        return toys.run(name, Path(folder))


@pytest.mark.parametrize("name", METHODS)
def test_methods_say_what_they_are(name):
    of_method.says_what_it_is(name)


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_parts_are_frozen_and_documented(kind, name):
    of_method.part_is_documented(kind, name)
    registry.load(kind, name)()  # every parameter has a default


@pytest.mark.parametrize("name", METHODS)
def test_parameters_round_trip_through_text(name):
    of_method.parameters_round_trip(name)


@pytest.mark.parametrize("name", METHODS)
def test_a_toy_run_gives_a_finite_model_and_repeats_to_the_bit(name, tmp_path):
    of_method.returns_a_model(name, toy(name))
    of_method.stays_finite(name, toy(name))
    of_method.can_be_saved(name, toy(name), tmp_path)
    of_method.repeats_to_the_bit(name, toy(name), toy(name, again=True))


@pytest.mark.parametrize("name", METHODS)
def test_a_toy_run_moves_nothing_else(name):
    of_method.leaves_the_model_as_it_was_built(name, toy(name))
    of_method.keeps_to_its_scope(name, toy(name))
    of_method.leaves_the_sets_alone(name, toy(name))
    of_method.says_what_is_attached(name, toy(name))


@pytest.mark.parametrize("name", GRADIENT)
def test_a_small_step_lowers_a_methods_own_loss(name, tmp_path):
    of_method.lowers_its_own_loss(name, tmp_path)


@pytest.mark.parametrize("name", GRADIENT)
def test_a_batch_in_parts_is_the_batch(name, tmp_path):
    of_method.adds_up_in_parts(name, tmp_path)


@pytest.mark.parametrize("name", [f"graddiff+adamw+{scope}" for scope in registry.names("scope")])
def test_every_scope_keeps_to_itself_without_a_method_of_its_own(name, tmp_path):
    """Ones that add weights among them: these are merged and gone, whatever library they came from."""
    if name.endswith("+lora"):
        pytest.importorskip("peft")
    first = toy(name)
    of_method.stays_finite(name, first)
    of_method.leaves_the_model_as_it_was_built(name, first)
    of_method.can_be_saved(name, first, tmp_path)
    of_method.keeps_to_its_scope(name, first)
    of_method.repeats_to_the_bit(name, first, toy(name, again=True))
    of_method.lowers_its_own_loss(name, tmp_path)


@pytest.mark.parametrize("name", registry.names("task"))
def test_tasks_keep_their_sets_apart(name):
    of_task.of_task(name)


@pytest.mark.parametrize("name", registry.names("attack"))
def test_attacks_read_what_there_is_and_leave_the_model_alone(name):
    of_attack.of_attack(name)


@pytest.mark.parametrize("name", registry.names("metric"))
def test_metrics_reduce_the_last_axis_and_broadcast_over_the_others(name):
    """The score of a stack of samples is the stack of their scores."""
    metric = registry.load("metric", name)()
    random = np.random.default_rng(0)
    sample, retrain = ({need: random.uniform(0.05, 0.95, (3, 12)) for need in metric.needs} for _ in range(2))
    other = retrain if metric.needs_retrain else None
    whole = np.asarray(metric.score(sample, other))
    assert whole.shape == (3,)
    for i in range(3):
        one = metric.score({k: v[i] for k, v in sample.items()}, other and {k: v[i] for k, v in other.items()})
        assert float(one) == pytest.approx(whole[i], rel=1e-12, nan_ok=True)
    assert metric.goal in ("maximise", "minimise", "match")
    assert metric.title
    assert metric.version >= 1
