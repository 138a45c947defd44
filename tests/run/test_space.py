"""What is searched of a method, and the settings that are drawn."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from bench import registry
from bench.api import Schedule, param
from bench.errors import UsageError
from bench.run import space as s

TASK = "tofu:forget10"
TUNABLE = s.without(registry.select("method", "all"))


@pytest.mark.parametrize("method", TUNABLE)
def test_every_method_has_a_space_with_its_default_inside(method: str) -> None:
    axes = s.space(method, "tiny", TASK)
    assert axes and len(axes) <= s.WIDEST
    for axis in axes:
        assert axis.default in axis.values if axis.values else axis.low <= axis.default <= axis.high


def test_trial_one_is_the_default_and_one_trial_is_all_of_it() -> None:
    axes = s.space("simu-npo", "tiny", TASK)
    assert s.draws(axes, 1, 0) == [{"lr": 1.5e-4, "beta": 0.1, "retain_weight": 1.0, "t": 0.3}]
    assert s.draws(axes, 12, 5)[0] == s.draws(axes, 1, 0)[0]


def test_more_trials_begin_with_the_same_and_another_seed_draws_others() -> None:
    axes = s.space("fo-npo", "tiny", TASK)
    assert s.draws(axes, 24, 0)[:12] == s.draws(axes, 12, 0)
    assert s.draws(axes, 12, 1)[1:] != s.draws(axes, 12, 0)[1:]


def test_a_trial_has_the_same_rate_for_every_method_of_one_space() -> None:
    rates = [[d["lr"] for d in s.draws(s.space(m, "tiny", TASK), 12, 0)] for m in ("fo-npo", "simu-graddiff", "so-ga")]
    assert rates[0] == rates[1] == rates[2]


def test_draws_fill_the_space() -> None:
    """Of a power of two Sobol points each half of a range, and each of equally many values, gets its share."""
    axes = s.space("fo-npo", "tiny", TASK)
    drawn = s.draws(axes, 65, 3)[1:]
    middle = (axes[0].low * axes[0].high) ** 0.5
    assert sum(d["lr"] < middle for d in drawn) == 32
    assert all(axes[0].low <= d["lr"] <= axes[0].high for d in drawn)
    assert all(18 <= sum(d["beta"] == value for d in drawn) <= 25 for value in (0.05, 0.1, 0.5))


def test_rates_follow_those_that_the_model_was_taught_with() -> None:
    """Sources speak of models fine-tuned at 1e-5; tiny is taught at 3e-3, of which a tenth counts."""
    pretrained, tiny = (s.space("fo-npo", model, TASK)[0] for model in ("some/model", "tiny"))
    assert (pretrained.default, pretrained.low, pretrained.high) == (5e-6, 5e-7, 2e-4)
    assert tiny.low / pretrained.low == pytest.approx(30) and tiny.default == pytest.approx(30 * 5e-6)


def searching(**parameter: object) -> dataclasses.Field:
    @dataclass(frozen=True)
    class Part:
        strength: float = param(1.0, "of it", gt=0, **parameter)

    return dataclasses.fields(Part)[0]


@pytest.mark.parametrize(
    ("search", "says"),
    [
        ((2.0, 3.0, "log"), "its default 1.0 is not in the space"),
        ([2.0, 3.0], "its default 1.0 is not in the space"),
        ((0.5, 2.0, "cubic"), "on the scale 'cubic'. Known: linear, log, rate"),
        ((-1.0, 2.0, "linear"), "must be greater than 0"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(search, says) -> None:
    with pytest.raises(UsageError, match=says):
        s._axis("mine", searching(search=search), 1.0)


def test_a_method_without_a_space_and_controls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s, "parameters", lambda _: {f.name: f for f in dataclasses.fields(Schedule)})
    with pytest.raises(UsageError, match="fo-npo has no space: none of its parameters says where to look"):
        s.space("fo-npo", "tiny", TASK)
    monkeypatch.undo()
    with pytest.raises(UsageError, match="target is a control"):
        s.space("target", "tiny", TASK)
    with pytest.raises(UsageError, match="has its parameters in its name"):
        s.space("fo-npo@beta=0.5", "tiny", TASK)


def test_where_a_linear_axis_and_a_list_begin_and_end() -> None:
    line = s.Axis("share", 0.5, (), 0.0, 1.0)
    assert [line.at(u) for u in (0.0, 0.25, 0.999999)] == [0.0, 0.25, 1.0]
    three = s.Axis("beta", 1, (1, 2, 5))
    assert [three.at(u) for u in (0.0, 0.34, 0.99999)] == [1, 2, 5]
