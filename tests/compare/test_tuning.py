"""What a tuning found: numbers by hand, and what must not change them."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from bench.compare import tuning
from bench.compare.tuning import Spot, of_method, summarise, tunings
from bench.errors import BenchError
from bench.store import trials
from bench.store.trials import Trial
from tests.compare import made_trials
from tests.compare.made_trials import point


def trial(number: int, *points: tuple[float, float, float], seconds: float = 10.0, **others) -> Trial:
    """A trial of points (share, erased, utility)."""
    chosen = {"lr": number / 1000, **others.pop("chosen", {})}
    plain = {"data": "embedded@100", "seed": 0, "seconds": {"unlearn": seconds, "measure": 5.0}} | others
    return Trial("m", number, chosen, chosen, points=tuple(point(*p) for p in points), **plain)


FOUR = (
    trial(1, (0.5, 0.2, 1.0), (1.0, 0.4, 1.0)),
    trial(2, (0.5, 0.8, 0.96), (1.0, 1.0, 0.4)),
    trial(3, (0.5, 1.0, 0.9), status="diverged"),
    trial(4, status="failed", error="boom"),
)


def test_numbers_by_hand() -> None:
    """Harmonic means: .4 and 1 give .571, .8 and .96 .873, 1 and .9 .947; the failed one counts as 0."""
    found = of_method("m", FOUR)
    best = [2 * 0.4 / 1.4, 2 * 0.8 * 0.96 / 1.76, 2 * 0.9 / 1.9, 0.0]
    assert [s.headline for s in found.settings] == pytest.approx(best)
    states = ["ok", "collapsed", "diverged", "failed"]
    assert [s.state for s in found.settings] == states and [found.count(state) for state in states] == [1, 1, 1, 1]
    assert [s.rate for s in found.settings] == [0.001, 0.002, 0.003, 0.004]
    assert found.default == pytest.approx(best[0])
    assert found.expected[0] == pytest.approx(sum(best) / 4)
    assert found.best == found.expected[3] == pytest.approx(best[2])
    assert found.width == 0.5
    assert found.seconds == 10
    chosen = found.candidates()
    assert (chosen["deployable"].number, chosen["deployable"].share) == (2, 0.5)
    assert (chosen["oracle"].number, chosen["oracle"].share) == (3, 0.5)
    assert found.gap == pytest.approx(best[2] - best[1])
    assert found.optimism == {"deployable": None, "oracle": None}


def test_cloud_and_hypervolume_by_hand() -> None:
    """The front above half of the utility is (1, .9), (.8, .96), (.4, 1): 1 x .4 + .8 x .06 + .4 x .04."""
    found = of_method("m", FOUR)
    assert {(s.number, s.share) for s in found.cloud if s.front} == {(3, 0.5), (2, 0.5), (1, 1.0)}
    assert found.hypervolume == pytest.approx(0.4 + 0.048 + 0.016)
    assert len(found.cloud) == 5
    assert [s.headline for s in found.cloud] == pytest.approx(
        [2 * s.erased * s.utility / (s.erased + s.utility) for s in found.cloud]
    )


def test_ruin_begins_below_half_of_the_utility_and_more_than_the_targets_counts_as_the_targets() -> None:
    found = of_method("m", [trial(1, (1.0, 0.4, 0.5)), trial(2, (1.0, 0.4, 1.2))])
    assert [s.state for s in found.settings] == ["ok", "ok"]
    assert [s.utility for s in found.cloud] == [0.5, 1.0]


def test_a_place_without_both_numbers_everywhere_is_not_in_the_cloud() -> None:
    """Of three settings on two worlds one lacks what is erased on a world, one the utility."""
    lacking: list[dict[str, None]] = [{}, {"erased": None}, {"utility share": None}]
    worlds = [[trial(n, (1.0, 0.4, 1.0), data=f"embedded@{w}") for n in (1, 2, 3)] for w in (100, 101)]
    for n, gone in enumerate(lacking):
        (spot,) = worlds[1][n].points
        points = (dataclasses.replace(spot, scores={**spot.scores, **gone}),)
        worlds[1][n] = dataclasses.replace(worlds[1][n], points=points)
    assert [s.number for s in of_method("m", [*worlds[0], *worlds[1]]).cloud] == [1]


@pytest.mark.parametrize(
    ("chosen", "parameters", "rate"),
    [
        ({"lr": 0.1}, {"lr": 0.2}, 0.1),
        ({"beta": 0.1}, {"lr": 1}, 1.0),
        ({}, {"lr": 0.0}, None),
        ({}, {"lr": True}, None),
        ({}, {"lr": "auto"}, None),
    ],
)
def test_the_learning_rate_is_what_was_chosen_or_else_the_methods_own(chosen, parameters, rate) -> None:
    (setting,) = of_method("m", [Trial("m", 1, chosen, parameters, "embedded@100", 0)]).settings
    assert setting.rate == rate


def test_the_default_is_worth_nothing_where_its_run_did_not_end() -> None:
    cut = [dataclasses.replace(FOUR[0], points=FOUR[0].points[:1], status="diverged"), *FOUR[1:]]
    assert of_method("m", cut).default == 0
    assert of_method("m", FOUR[1:]).default is None


def test_optimism_is_of_the_same_setting_at_the_same_stop() -> None:
    """Deployable is trial 2 at a half: .873 there, .8 and .9 erased at .96 with fresh seeds; a third never got there.

    Extraction strength is .7 - .6 erased. Other stops and settings have no part.
    """
    stop = {"stop": 0.5}
    fresh = [
        trial(2, (0.5, 0.8, 0.96), fresh=True, seed=1, chosen=stop),
        trial(2, (0.25, 0.1, 1.0), (0.5, 0.7, 0.96), fresh=True, seed=2, chosen=stop),
        trial(2, (1.0, 0.1, 0.96), fresh=True, seed=3, chosen={"stop": 1.0}),
        trial(1, (0.5, 0.0, 0.96), fresh=True, seed=3, chosen=stop),
    ]
    found = of_method("m", [*FOUR, *fresh])
    plain = of_method("m", FOUR)
    assert (found.settings, found.expected, found.cloud) == (plain.settings, plain.expected, plain.cloud)
    one = found.optimism["deployable"]
    assert one is not None and one.runs == 2
    headlines = [2 * e * 0.96 / (e + 0.96) for e in (0.8, 0.7)]
    assert one.headline == pytest.approx(headlines[0] - sum(headlines) / 2)
    assert one.extraction == pytest.approx(0.03)
    ends = [trial(3, (1.0, 0.9, 1.0)), trial(3, (1.0, 0.8, 1.0), fresh=True, seed=1)]
    whole = of_method("m", ends).optimism["oracle"]
    assert whole is not None and whole.headline == pytest.approx(1.8 / 1.9 - 1.6 / 1.8), "without a stop it is the end"
    died = trial(2, fresh=True, seed=4, chosen=stop, status="diverged")
    other = of_method("m", [*FOUR, *fresh, died]).optimism["deployable"]
    assert other is not None and (other.runs, other.extraction) == (3, None)
    assert other.headline == pytest.approx(headlines[0] - sum(headlines) / 3)


def test_means_over_validation_data_and_unfinished_settings() -> None:
    """A setting that ran on one of two worlds is not counted yet; a point that one world lacks is no candidate."""
    other = [dataclasses.replace(t, data="embedded@101") for t in FOUR[:2]]
    other[1] = dataclasses.replace(other[1], points=other[1].points[:1])
    found = of_method("m", [*FOUR, *other])
    assert [s.number for s in found.settings] == [1, 2]
    assert [(s.number, s.share) for s in found.cloud] == [(1, 0.5), (1, 1.0), (2, 0.5)]
    assert found.settings[0].seconds == 20


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_trials_changes_nothing(seed: int) -> None:
    found = made_trials.made("so-npo", made_trials.METHODS["so-npo"], 6)
    mixed = random.Random(seed).sample(found, len(found))
    # Sums of seconds and fresh runs are by order of the lines.
    assert of_method("m", mixed)._replace(settings=(), optimism={}) == of_method("m", found)._replace(
        settings=(), optimism={}
    )


def test_a_dear_method_is_also_shown_at_equal_seconds() -> None:
    """Usual are 10 s to unlearn: of the dear one's 4 x 40 s only one fits into 4 x 10 s. Twice as long is not dear."""
    cheap = {name: [dataclasses.replace(t, method=name) for t in FOUR] for name in ("a", "b")}
    dear = [dataclasses.replace(t, method="dear", seconds={"unlearn": 40.0, "measure": 5.0}) for t in FOUR]
    slow = [dataclasses.replace(t, method="slow", seconds={"unlearn": 20.0}) for t in FOUR]
    found = summarise(cheap | {"c": cheap["a"], "dear": dear, "slow": slow}, "embedded", "tiny", "tofu:forget10")
    assert [t.at_equal_seconds is not None for t in found.methods] == [False, False, False, True, False]
    assert found.at_equal_seconds == (found.of("dear").at_equal_seconds,)
    first = found.of("dear").at_equal_seconds
    assert first._replace(at_equal_seconds=None) == of_method("dear", dear[:1])
    assert found.of("nobody") is None


def test_a_dear_method_of_which_no_trial_fits() -> None:
    cheap = {name: [dataclasses.replace(t, method=name) for t in FOUR] for name in ("a", "b")}
    dear = [dataclasses.replace(t, method="dear", seconds={"unlearn": 1000.0}) for t in FOUR]
    none = summarise(cheap | {"dear": dear}, "embedded", "tiny", "tofu:forget10").of("dear").at_equal_seconds
    assert (none.settings, none.best, none.default, none.gap, none.width, none.hypervolume) == (
        (),
        None,
        None,
        None,
        0,
        0,
    )


def test_a_method_that_nothing_can_be_told_of() -> None:
    """Without the two numbers of the trade-off, without a learning rate, all failed."""
    bare = Trial("m", 1, {}, {}, "embedded@100", 0, points=(trials.Point(1.0, 1, {"headline": None}),))
    found = of_method("m", [bare])
    assert (found.cloud, found.best, found.width, found.settings[0].rate, found.seconds) == ((), 0, 0, None, 0)
    dead = of_method("m", [FOUR[3]])
    assert (dead.best, dead.width, dead.candidates(), dead.gap) == (0, 0, {}, None)


def anchors(*utilities: float | None) -> list[Trial]:
    """Target and retrain of a world each, by their utility."""
    made = []
    for n, (name, utility) in enumerate(zip(("target", "retrain") * (len(utilities) // 2), utilities, strict=True)):
        spot = trials.Point(1.0, 0, {"model_utility": utility})
        made.append(Trial(name, 0, {}, {}, f"embedded@{100 + n // 2}", 0, points=(spot,)))
    return made


@pytest.mark.parametrize(
    ("utilities", "retrain"),
    [((0.5, 0.4), 0.8), ((0.5, 0.4, 0.5, 0.45), 0.85), ((0.5, 0.6), 1.0), ((0.5, None), None), ((None, 0.5), None),
     ((0.0, 0.5), None), ((0.5, 0.4, 0.5, None), None)],
)  # fmt: skip
def test_retrain_stands_at_its_share_of_the_targets_utility_over_all_worlds(utilities, retrain) -> None:
    """Without a share on every world it stands nowhere."""
    made = [trial(1, (1.0, 0.4, 1.0), data=f"embedded@{100 + n}") for n in range(len(utilities) // 2)]
    found = summarise({"m": made, "target": anchors(*utilities)}, "embedded", "tiny", "tofu:forget10")
    assert found.validation == tuple(t.data for t in made) and found.seeds == (0,)
    stands = found.anchors.get("retrain")
    assert (stands and stands.utility) == pytest.approx(retrain)
    assert stands is None or stands.headline == pytest.approx(2 * retrain / (1 + retrain))


def test_a_task_that_says_of_no_score_that_it_is_its_utility_has_no_retrain_anchor(monkeypatch) -> None:
    monkeypatch.setattr(tuning, "make_task", lambda name: object())
    found = summarise({"m": FOUR, "target": anchors(0.5, 0.4)}, "embedded", "tiny", "mine")
    assert set(found.anchors) == {"target"}


def test_what_is_no_setting_of_the_method_changes_nothing() -> None:
    """An anchor on another world asks nobody to run there; fresh runs alone are no tuning."""
    anchor = Trial("target", 0, {}, {}, "embedded@101", 0)
    assert of_method("m", [anchor, *FOUR]) == of_method("m", FOUR)
    alone = summarise({"m": [trial(1, (1.0, 0.4, 1.0), fresh=True)]}, "embedded", "tiny", "tofu:forget10")
    assert (alone.methods, alone.validation, alone.seeds) == ((), (), ())


def test_reading(tmp_path: Path) -> None:
    """By folder, with the task's own name where it is known; anchors are no methods, and other folders nothing."""
    assert tunings(tmp_path) == []
    made_trials.write(tmp_path, ("fo-npo",), 2)
    made_trials.write(tmp_path, ("fo-npo", "rmu"), 2, task="mine-own")
    trials.append(trials.path(trials.folder(tmp_path, "embedded", "a/b", "tofu:forget01"), "target"),
                  Trial("target", 0, {}, {}, "embedded@100", 0))  # fmt: skip
    trials.append(trials.path(trials.folder(tmp_path, "embedded", "a/b", "tofu:forget05"), "m"), FOUR[0])
    (tmp_path / "tuning" / "embedded" / "tiny" / "oracle.toml").write_text("")
    other, mine, tofu = tunings(tmp_path)
    assert (other.model, other.task) == ("a/b", "tofu:forget05")
    assert (tofu.data, tofu.model, tofu.task, mine.task) == ("embedded", "tiny", "tofu:forget10", "mine-own")
    assert (tofu.validation, tofu.seeds) == (made_trials.DATA, (0,))
    assert [t.method for t in mine.methods] == ["fo-npo", "rmu"]
    assert tofu.anchors["target"] == mine.anchors["target"] == Spot(0, 1.0, 0.0, 1.0, 0.0)
    assert tofu.anchors["retrain"] == pytest.approx(Spot(0, 1.0, 1.0, 0.99, 1.98 / 1.99)), "seed 0 alone was tuned on"
    assert "retrain" not in mine.anchors, "what its utility is called is not known here"


def test_a_line_that_is_no_trial(tmp_path: Path) -> None:
    folder = made_trials.write(tmp_path, ("fo-npo",), 2)
    with (folder / "fo-npo.jsonl").open("a") as out:
        out.write("{}\n")
    with pytest.raises(BenchError, match=r"fo-npo\.jsonl:\d+ is no trial"):
        tunings(tmp_path)
