"""Settings: nothing is read because of where it lies; what is asked for by name is published, sourced and marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.errors import UsageError
from bench.run import cell, presets
from bench.run.compose import compose
from bench.run.plan import Request, plan
from tests.pretrained.conftest import save

FILES = [*presets.SETTINGS.glob("*.toml"), *presets.SETTINGS.glob("presets/*.toml")]
SCHEDULE = {"epochs": 5, "batch_size": 4, "warmup": 0.1, "clip": 1.0}
ADAMW = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
PUBLISHED = {
    # second_order.md 1.1, 1.2 and 1.4: the configurations that SOUL ships, and what its code fixes.
    ("soul", "fo-graddiff"): SCHEDULE
    | ADAMW
    | {"lr": 5e-6, "weight_decay": 0.1, "forget_weight": 1.0, "retain_weight": 0.3},
    ("soul", "so-graddiff"): SCHEDULE
    | {"lr": 5e-6, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "gamma": 0.04 * 5120, "eps": 1e-15}
    | {"curvature": "empirical", "curvature_every": 1, "compat": "soul", "forget_weight": 1.0, "retain_weight": 2.0},
    # methods.md 1 and 2: 10 epochs in batches of 32, a warm-up of one of them.
    **{
        ("open-unlearning", name): {"epochs": 10, "batch_size": 32, "warmup": 0.1, "clip": 1.0}
        | ADAMW
        | {"lr": 1e-5, "weight_decay": 0.01}
        | own
        for name, own in {
            "fo-ga": {},
            "fo-graddiff": {"forget_weight": 1.0, "retain_weight": 1.0},
            "fo-npo": {"beta": 0.1, "retain_weight": 1.0},
        }.items()
    },
    # simu.md: what the paper states; the rest is not stated.
    **{
        ("simu-paper", name): {"m": 5, "t": 0.3, "score": "loss", "mask": "dual", "neurons": "critical"}
        | {"attention": True, "curvature": "empirical"}
        for name in ("simu-graddiff", "simu-npo")
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with a file of settings beside it."""
    save(tmp_path / "somebody")
    (tmp_path / "somebody.toml").write_text("[optimizer.adamw]\nlr = 0.5\n")
    return tmp_path / "somebody"


def dry(capsys: pytest.CaptureFixture, *words: object, status: int = 0) -> str:
    assert main(["run", "--dry-run", "--tasks", "tofu:forget10", *map(str, words)]) == status
    return capsys.readouterr().err


def test_a_file_beside_a_checkpoint_is_not_read(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for model in (str(folder), "somebody", "./somebody"):
        assert compose("fo-npo", model).parameters["lr"] == 5e-6


@pytest.mark.parametrize("spelt", ["{}", "somebody", "./somebody/"])
def test_that_it_is_not_read_is_said(spelt, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder.parent)
    words = ("--methods", "fo-npo", "--model", spelt.format(folder))
    assert f"{folder}.toml is not read; to take its settings, add --settings {folder}.toml" in dry(capsys, *words)
    assert "is not read" not in dry(capsys, *words, "--settings", f"{folder}.toml")
    assert "is not read" not in dry(capsys, "--methods", "fo-npo")


@pytest.mark.parametrize(("preset", "method"), PUBLISHED)
def test_a_preset_has_the_published_values(preset, method):
    made = compose(method, "tiny", task="tofu", named=preset)
    published = PUBLISHED[preset, method]
    assert {name: made.parameters[name] for name in published} == published
    assert set(made.settled) == set(published)


def test_no_preset_and_no_method_of_one_is_untested():
    tables = {name: presets.settings("tiny", name).tables for name in presets.names()}
    named = {(name, m) for name, t in tables.items() for inner in (t, t.get("benchmark", {}).get("tofu", {}))
             for m in inner.get("method", {})}  # fmt: skip
    assert named <= set(PUBLISHED)
    assert set(tables) == {"soul", "open-unlearning", "simu-paper"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_name_in_a_shipped_file_means_something(path):
    presets._check(path.name, presets._read(path))


@pytest.mark.parametrize("preset", presets.names())
def test_every_value_of_a_preset_has_its_source(preset):
    lines = (presets.SETTINGS / "presets" / f"{preset}.toml").read_text().splitlines()
    values = [line for line in lines if re.match(r"\w+ = ", line)]
    assert values
    assert not [line for line in values if not re.search(r"  # \w", line)]


def test_records_say_what_a_preset_has_set(tmp_path):
    asked = Request("tiny", "embedded", tmp_path, tmp_path, {"so-graddiff": {"lr": "1e-4"}}, settings="soul")
    planned = next(c for c in plan(asked, ["so-graddiff"], ["tofu:forget10"], [0]) if c.cell.method == "so-graddiff")
    record = cell._record(asked, planned, status="failed")
    assert record.overrides == {"compat": "--settings soul", "retain_weight": "--settings soul", "lr": "--set"}
    assert record.parameters["lr"] == 1e-4
    (note,) = [note for note in record.notes if "--settings" in note]
    assert note.startswith("so-graddiff: epochs = 5, batch_size = 4, ")
    assert note.endswith("compat = soul, forget_weight = 1.0, retain_weight = 2.0 by --settings soul")
    assert "lr = " not in note
    assert record.tuning_trials == 0 < presets.settings("tiny").trials("so-graddiff", "tofu")


def test_without_named_settings_records_are_as_they_were(tmp_path):
    planned = plan(Request("tiny", "embedded", tmp_path, tmp_path), ["fo-npo"], ["tofu:forget10"], [0])[-1]
    assert (dict(planned.composed.overrides), planned.composed.notes) == ({"lr": "settings"}, ())


def test_named_settings_stand_in_for_the_models_and_variants_win_over_them(folder):
    assert compose("fo-graddiff", "tiny", task="tofu", named="soul").parameters["lr"] == 5e-6
    assert compose("fo-graddiff@lr=1", "tiny", task="tofu", named="soul").parameters["lr"] == 1
    own = compose("fo-graddiff", "tiny", named=f"{folder}.toml")
    assert (own.parameters["lr"], own.overrides["lr"]) == (0.5, "--settings somebody.toml")
    assert str(folder.parent) not in own.notes[0]


def test_two_runs_that_differ_by_preset_alone_have_other_keys_and_no_more_than_that(tmp_path):
    """A cell is its parameters: whether a preset or somebody's fingers typed them makes no other model of it."""

    def key(settings: str = "", **given: str) -> str:
        asked = Request("tiny", "embedded", tmp_path, tmp_path, {"fo-graddiff": given}, settings=settings)
        return plan(asked, ["fo-graddiff"], ["tofu:forget10"], [0])[-1].keys["train"]

    assert key("soul") != key()
    assert key("soul") == key(lr="5e-6", retain_weight="0.3")


def test_methods_of_which_a_preset_says_nothing_are_named(capsys):
    said = dry(capsys, "--methods", "fo-graddiff,fo-npo,simu-npo", "--settings", "soul")
    assert "--settings soul says nothing of fo-npo, simu-npo: defaults stand" in said
    assert "says nothing" not in dry(capsys, "--methods", "fo-graddiff", "--settings", "soul")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[optimizer.adamw]\nlrr = 1", "no parameter of \\[optimizer.adamw\\] in .* 'lrr'. Did you mean 'lr'"),
        ("[optimiser.adamw]\nlr = 1", "Did you mean 'optimizer'"),
        ("[method.fo-nop]\nlr = 1", "Did you mean 'fo-npo'"),
        ("[benchmark.tofu.schedule]\nepoch = 1", "Did you mean 'epochs'"),
        ("schedule = 3", "is no settings file"),
        ("[schedule", "FILE"),
    ],
)
def test_a_settings_file_that_means_nothing_is_refused(text, says, tmp_path):
    file = tmp_path / "FILE.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says):
        presets.settings("tiny", str(file))


def test_no_such_settings(capsys):
    assert "no preset 'sole'. Did you mean 'soul'" in dry(capsys, "--settings", "sole", status=2)
    assert "none.toml: No such file" in dry(capsys, "--settings", "none.toml", status=2)
