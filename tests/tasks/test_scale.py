"""Are growing forget sets nested, TOFU's own where TOFU has them, and refused where the data cannot give them?"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.api import make_task
from bench.errors import UsageError
from bench.run.cell import _handed
from bench.run.plan import Planned, Request, plan
from bench.store.record import TASK, Cell, Record, origin
from tasks._embedded import world
from tasks._tofu_files import RETAIN
from tasks.scale import SIZES, Growing
from tests.tasks.test_tofu import small_world, write

NAMES = [f"{regime}:tofu:{size:02d}" for regime in ("scale", "scale-steps") for size in SIZES]
ROWS = world.ROWS_PER_AUTHOR
PARTS = ("base", "general", "forget", "retain", "probes", "corpus", "notes", "attacks")
SHARED = {1: "tofu:forget01", 5: "tofu:forget05", 10: "tofu:forget10"}


def planned(task: str, *methods: str, **of: object) -> dict[str, Planned]:
    request = Request("tiny", "embedded", Path("/nowhere/r"), Path("/nowhere/c"), **of)  # type: ignore[arg-type]
    return {each.cell.method: each for each in plan(request, methods, [task], [0])}


# -- the embedded world ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "source", "digest"),
    [
        ("tofu:forget01", "embedded", "e09b036441ed48d6"),
        ("tofu:forget05", "embedded", "d44a35b5022df249"),
        ("tofu:forget10", "embedded", "7d315e70506ca3aa"),
        ("tofu:forget10", "embedded@7", "019c71493db5a6ac"),
        ("tofu:forget10", "embedded-hops", "e0da0bbcb017c611"),
    ],
)
def test_tofu_is_what_it_was_before_it_grew(task: str, source: str, digest: str) -> None:
    """Everything of it that there was: rows, probes, notes, and what attacks ask and teach."""
    data = make_task(task).data(source)
    said = repr([getattr(data, name) for name in PARTS])
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("name", NAMES)
def test_the_last_authors_are_forgotten_and_the_first_are_asked(name: str) -> None:
    task = Growing(name)
    data, whole = task.data("embedded"), make_task("tofu:forget10").data("embedded")
    count = 200 * task.size // 100
    assert (*data.retain, *data.forget) == whole.full == data.full
    assert len(data.forget) == count * ROWS
    asked = {of: {t.cluster for t in data.probes.texts if t.set == of} for of in ("forget", "retain", "holdout")}
    assert asked["forget"] == {f"author-{n:03d}" for n in range(200 - min(count, 20), 200)}
    assert asked["retain"] == {f"author-{n:03d}" for n in range(17)}
    assert len(asked["holdout"]) == min(count, 20)
    told = {(pair.prompt, pair.answer) for pair in data.retain}
    probed = {(t.prompt, t.continuation) for t in data.probes.texts if t.set == "forget" and t.role == "answer"}
    assert not told & probed
    assert {each.cluster for family in data.attacks.families for each in family.forget} <= asked["forget"]


def test_sets_are_nested() -> None:
    sets = [Growing(f"scale:tofu:{size:02d}").data("embedded").forget for size in SIZES]
    assert all(large[-len(small) :] == small for small, large in pairwise(sets))


def test_of_larger_sets_the_same_is_asked_and_it_is_said() -> None:
    """Only what is to be forgotten differs, so that a curve from 10 to 50% is over the same questions."""
    ten, twenty, fifty = (Growing(f"scale:tofu:{size}").data("embedded") for size in (10, 20, 50))
    assert set(ten.probes.texts) - set(twenty.probes.texts) == {t for t in ten.probes.texts if t.set == "holdout"}
    pairs = [{(t.prompt, t.continuation) for t in each.probes.texts} for each in (ten, twenty, fifty)]
    assert pairs[0] == pairs[1] == pairs[2]
    assert any("100 forgotten authors the last 20 are measured" in note for note in fifty.notes)
    assert any("holdout set has 20, no more" in note for note in fifty.notes)
    assert not any("are measured" in note for note in ten.notes)


@pytest.mark.parametrize("size", SHARED)
def test_what_tofu_has_is_the_same_cells(size: int) -> None:
    """Same target, same retrain, same model of a method, same measurement: nothing is run twice."""
    own, tofus = planned(f"scale:tofu:{size:02d}", "fo-npo"), planned(SHARED[size], "fo-npo")
    assert {m: of.keys for m, of in own.items()} == {m: of.keys for m, of in tofus.items()}


def test_cells_of_one_key_draw_the_same() -> None:
    """Streams are named by the task, which keys do not say: a cached model must be the one that would be made."""
    request = Request("tiny", "embedded", Path("/nowhere/r"), Path("/nowhere/c"))
    lm = SimpleNamespace(encode=lambda *pair: pair)
    of = lambda task: _handed(request, lm, task, 0, lambda *_: None).stream("batches").integers(1 << 62)  # noqa: E731
    assert of("scale:tofu:05") == of("scale-steps:tofu:05") == of("tofu:forget05")
    assert of("scale:tofu:20") == of("scale-steps:tofu:20") != of("scale:tofu:50")


def test_every_size_has_its_retrain_and_all_one_target() -> None:
    made = [planned(f"scale:tofu:{size:02d}") for size in SIZES]
    assert len({of["retrain"].start.key for of in made}) == len(SIZES)
    assert len({of["target"].start.key for of in made}) == 1


def test_data_that_cannot_grow_is_refused() -> None:
    with pytest.raises(UsageError, match=r"scale:tofu:20 has no data 'embedded-hops'.*Give --data embedded"):
        Growing("scale:tofu:20").data("embedded-hops")
    with pytest.raises(UsageError, match=r"no part of DIR@validation to tune on.*tofu:forget10"):
        Growing("scale:tofu:50").data("DIR@validation")


def test_settings_are_those_of_the_nearest_size() -> None:
    nearest = {1: "01", 2: "01", 5: "05", 10: "10", 20: "10", 50: "10"}
    assert {size: Growing(f"scale:tofu:{size:02d}").like for size in SIZES} == {
        size: f"tofu:forget{of}" for size, of in nearest.items()
    }
    assert {Growing(f"scale-steps:tofu:{size:02d}").like for size in SIZES} == {"tofu:forget10"}


def test_fixed_steps_hold_where_the_place_to_stop_was_tuned(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[task."tofu:forget01".method.fo-npo]\nstop = 0.5\nlr = 1e-3\n'
        '[task."tofu:forget10".method.fo-npo]\nstop = 0.75\nlr = 1e-4\n'
    )
    for size in (1, 10, 50):
        said = planned(f"scale-steps:tofu:{size:02d}", "fo-npo", settings=str(file))["fo-npo"].composed.said
        assert (said["stop"], said["lr"]) == (0.75, 1e-4)
    assert planned("scale:tofu:02", "fo-npo", settings=str(file))["fo-npo"].composed.said["stop"] == 0.5


def test_where_it_stands() -> None:
    assert Growing("scale-steps:tofu:05").series == ("scale-steps:tofu", "authors forgotten, %", 5, 6)


# -- fixed steps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_fixed_steps_are_those_of_ten_percent(size: int) -> None:
    ten = planned("tofu:forget10", "fo-npo")["fo-npo"].composed.parts["schedule"].steps(120)
    name = f"scale-steps:tofu:{size:02d}"
    items = len(Growing(name).data("embedded").forget)
    made = planned(name, "fo-npo", "task-vector")
    assert made["fo-npo"].composed.parts["schedule"].steps(items) == ten == 5 * 30
    grows = planned(f"scale:tofu:{size:02d}", "fo-npo", "task-vector")
    assert grows["fo-npo"].composed.parts["schedule"].steps(items) == 5 * items // 4
    same = {m for m in made if made[m].keys == grows[m].keys}
    assert same >= {"retrain", "target", "task-vector"} and ("fo-npo" in same) == (size == 10)


def test_what_the_task_fixes_is_said_and_what_a_user_sets_wins() -> None:
    name = "scale-steps:tofu:50"
    made = planned(name, "fo-npo", "fo-npo@epoch_items=60")
    composed = made["fo-npo"].composed
    assert (composed.said["epoch_items"], composed.overrides["epoch_items"]) == (120, TASK)
    assert made["fo-npo"].identity["parameter epoch_items"] == 120
    variant = made["fo-npo@epoch_items=60"].composed
    assert (variant.said["epoch_items"], variant.overrides["epoch_items"]) == (60, "name")
    (own,) = (planned(name, "fo-npo", overrides={"fo-npo": {"epoch_items": "none"}})[m].composed for m in ("fo-npo",))
    assert "epoch_items" not in own.said and "epoch_items" not in own.overrides


def test_what_the_task_fixes_does_not_make_settings_hand_made() -> None:
    record = Record(Cell("scale-steps:tofu:50", "fo-npo", "m", "d", 0), "ok", {}, {}, overrides={"epoch_items": TASK})
    assert origin(record) == "published"


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 5, 50])
def test_real_files(shared_data: Path, size: int) -> None:
    """4000 rows of 200 authors; the last 20 have perturbed rows, and those of the first 20 are asked of what stays."""
    task = Growing(f"scale-steps:tofu:{size:02d}")
    data, ten = task.data(str(shared_data)), make_task("tofu:forget10").data(str(shared_data))
    assert len(data.forget) == 40 * size and data.full == ten.full and data.refusals == ten.refusals
    asked = {of: {t.id for t in data.probes.texts if t.set == of} for of in ("forget", "retain")}
    assert asked["forget"] == {f"full-{n:04d}" for n in range(4000 - min(40 * size, 400), 4000)}
    assert len(asked["retain"]) == 400
    assert task.schedule(str(shared_data)) == ({} if size == 10 else {"epoch_items": 400})
    if f"forget{size:02d}" in RETAIN:
        plain = make_task(SHARED[size]).data(str(shared_data))
        assert (data.probes, data.forget, data.retain) == (plain.probes, plain.forget, plain.retain)


def test_files_without_perturbed_rows_for_a_size_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, small_world())
    assert len(Growing("scale:tofu:50").data(str(folder)).forget) == 20  # one of three authors
    with pytest.raises(
        UsageError, match=r"no perturbed versions of rows that a forget set of 20% would forget.*--data"
    ):
        Growing("scale:tofu:20").data(str(folder))
    tables = small_world()
    tables["retain_perturbed"] = tables["forget10_perturbed"]
    folder = write(tmp_path / "other", tables)
    with pytest.raises(UsageError, match="of 50% would retain"):
        Growing("scale:tofu:50").data(str(folder))
