"""Parameters come from one dataclass each: defaults, then the settings file, then a variant's name, then `--set`."""

from __future__ import annotations

import pytest

from bench.errors import UsageError
from bench.run import compose as c
from bench.run import presets


@pytest.fixture
def settings(tmp_path, monkeypatch):
    (tmp_path / "toy.toml").write_text(
        "[schedule]\nepochs = 3\n[optimizer.adamw]\nlr = 1e-3\n"
        "[objective.npo]\nbeta = 0.5\n[method.fo-npo]\nbeta = 0.7\n[benchmark.tofu.tuning_trials]\nfo-npo = 4\n"
        "[benchmark.lume.optimizer.adamw]\nlr = 1e-4\n[benchmark.lume.tuning_trials]\nfo-npo = 2\n"
    )
    monkeypatch.setattr(presets, "SETTINGS", tmp_path)
    presets.settings.cache_clear()
    yield "toy"
    presets.settings.cache_clear()


def test_the_papers_defaults_without_settings():
    made = c.compose("fo-npo", "no-such-settings")
    assert (made.parameters["beta"], made.parameters["lr"], dict(made.overrides)) == (0.1, 5e-6, {})


def test_the_most_specific_wins_and_is_named(settings):
    made = c.compose("fo-npo", settings, {"batch_size": "2"})
    assert (made.parameters["epochs"], made.parameters["lr"], made.parameters["beta"]) == (3, 1e-3, 0.7)
    assert made.overrides == {"epochs": "settings", "lr": "settings", "beta": "settings", "batch_size": "--set"}
    assert c.compose("fo-npo@beta=0.9", settings).parameters["beta"] == 0.9
    assert c.compose("fo-npo@beta=0.9", settings).overrides["beta"] == "name"
    assert c.compose("fo-npo@beta=0.9", settings, {"beta": "0.2"}).parameters["beta"] == 0.2
    assert c.compose("so-npo", settings).parameters["beta"] == 0.5


def test_gamma_follows_the_curvature_and_is_no_override_then():
    def made(name, **given):
        composed = c.compose(name, "no-such-settings", given)
        return composed.parameters["gamma"], dict(composed.overrides)

    assert made("so-npo") == (204.8, {})
    assert made("so-npo", gamma="204.8") == (204.8, {})
    assert made("so-npo@curvature=hutchinson") == (0.01, {"curvature": "name"})
    by_hand = {"curvature": "gauss-newton-bartlett", "gamma": "0.04"}
    assert made("so-npo", **by_hand) == (0.04, {"curvature": "--set"})
    assert made("so-npo", curvature="hutchinson", gamma="1") == (1.0, {"curvature": "--set", "gamma": "--set"})
    with pytest.raises(UsageError, match="curvature must be one of"):
        made("so-npo", curvature="guessed")


def test_a_benchmark_has_settings_of_its_own_on_top(settings):
    made = c.compose("fo-npo", settings, task="lume")
    assert (made.parameters["epochs"], made.parameters["lr"], made.parameters["beta"]) == (3, 1e-4, 0.7)
    assert c.compose("fo-npo", settings, {"lr": "1e-5"}, "lume").parameters["lr"] == 1e-5
    assert c.compose("fo-npo", settings, task="tofu").parameters["lr"] == 1e-3


def test_trials_count_where_they_were_tried(settings):
    """Somebody's own task is run with settings that were chosen elsewhere: on it nothing was tried."""
    assert [presets.settings(settings).trials("fo-npo", name) for name in ("lume", "tofu", "mine", "")] == [2, 4, 0, 0]
    assert presets.settings(settings).trials("so-npo", "tofu") == 0
    assert c.compose("fo-npo", settings, task="mine").parameters["lr"] == 1e-3


def test_trials_of_the_shipped_settings_are_what_committed_records_say():
    committed = {
        ("tiny", "tofu"): {"fo-npo": 4, "simu-graddiff": 4, "so-ga": 2, "target": 0},
        ("tiny", "lume"): {"fo-npo": 2, "so-ga": 1},
        ("small", "tofu"): {"fo-graddiff": 1, "fo-npo": 0},
        ("small", "lume"): {"fo-graddiff": 1, "so-npo": 0},
    }
    for (model, benchmark), trials in committed.items():
        assert {name: presets.settings(model).trials(name, benchmark) for name in trials} == trials


def test_a_value_set_back_to_the_default_is_no_override(settings):
    assert "beta" not in c.compose("fo-npo", settings, {"beta": "0.1"}).overrides


def test_every_part_can_be_combined():
    made = c.compose("npo+sophia+random-neurons", "none")
    assert {"beta", "gamma", "t", "epochs"} <= set(made.parameters)
    assert c.resolve("npo+sophia").scope == "all"


@pytest.mark.parametrize(
    ("name", "overrides", "says"),
    [
        ("npo+sophia+all+more", {}, "too many parts"),
        ("npo+sophie", {}, "Did you mean 'sophia'"),
        ("fo-npo@beta", {}, "write METHOD@PARAM=VALUE"),
        ("fo-npo@bet=1", {}, "Did you mean 'beta'"),
        ("fo-npo", {"epochs": "1.5"}, "takes a whole number"),
        ("fo-npo", {"epochs": "0"}, "at least 1"),
        ("simu-npo", {"t": "0"}, "greater than 0"),
        ("simu-npo", {"t": "1.01"}, "at most 1"),
        ("simu-npo", {"m": "0"}, "at least 1"),
        ("simu-npo", {"mask": "both"}, "one of"),
        ("simu-npo", {"attention": "yes"}, "takes true or false"),
    ],
)
def test_bad_names_and_values_say_what_to_type(name, overrides, says):
    with pytest.raises(UsageError, match=says):
        c.compose(name, "none", overrides)


def test_optional_parameters_can_be_unset():
    assert c.compose("simu-npo", "none", {"retain_items": "5"}).parameters["retain_items"] == 5
    assert c.compose("simu-npo", "none", {"retain_items": "none"}).parameters["retain_items"] is None


def test_set_words():
    assert c.parse_overrides(["fo-npo.beta=0.2", "fo-npo.lr=1e-4"]) == {"fo-npo": {"beta": "0.2", "lr": "1e-4"}}
    assert {"simu-graddiff", "simu-npo"} <= set(c.parse_overrides(["simu.t=0.5"]))
    assert "target" not in c.parse_overrides(["all.epochs=1"])
    for text in ("fo-npo", "fo-npo=1", ".beta=1", "fo-npo.beta="):
        with pytest.raises(UsageError, match=r"METHOD\.PARAM=VALUE"):
            c.parse_overrides([text])


def test_several_values_make_a_variant_each():
    words = ["fo-npo.lr=1e-5, 3e-5,1e-5"]
    assert c.parse_overrides(words) == {}
    assert c.with_variants(["target", "fo-npo"], words) == ["target", "fo-npo", "fo-npo@lr=1e-5", "fo-npo@lr=3e-5"]
    assert c.with_variants(["target"], words) == ["target"]
    assert c.with_variants(["fo-npo"], ["fo-npo.lr=1e-5"]) == ["fo-npo"]
    product = c.with_variants(["fo-npo"], ["fo-npo.lr=1,2", "fo-npo.epochs=7", "fo-npo.beta=3,4"])[1:]
    assert product == [f"fo-npo@lr={lr}@epochs=7@beta={beta}" for lr in "12" for beta in "34"]
    assert c.parse_overrides(["fo-npo.lr=1,2", "fo-npo.epochs=7"]) == {"fo-npo": {"epochs": "7"}}
    swept = c.with_variants(["fo-ga", "so-ga", "target"], ["fo.clip=0,1"])
    assert swept == ["fo-ga", "fo-ga@clip=0", "fo-ga@clip=1", "so-ga", "target"]


def test_a_comma_within_a_value_is_no_sweep():
    """Layers are free text with commas, tuples have colons, choices are swept."""
    name = "npo+adamw+layers"
    assert c.with_variants([name], [f"{name}.layers=0,2-4"]) == [name]
    assert c.parse_overrides([f"{name}.layers=0,2-4"]) == {name: {"layers": "0,2-4"}}
    assert c.with_variants(["simu-npo"], ["simu-npo.mask=dual,forget-only"])[1:] == [
        "simu-npo@mask=dual", "simu-npo@mask=forget-only"
    ]  # fmt: skip
    assert c.with_variants(["simu-npo"], ["simu-npo.retain_items=none,5"])[2] == "simu-npo@retain_items=5"
    with pytest.raises(UsageError, match="a value is missing. Write fo-npo.lr=VALUE,VALUE"):
        c.assigned(["fo-npo.lr=1,"])
