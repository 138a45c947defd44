"""A training that is cut off anywhere and goes on ends at the very weights, and the curve, of one that was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.api import Pair, Schedule
from bench.conformance import toy
from bench.contracts import Context
from bench.model.recipes import Teaching
from bench.registry import load
from bench.train import resume
from bench.train.loop import Curve
from bench.train.resume import Checkpoint
from bench.train.teaching import teach
from bench.train.unlearning import unlearn


class Killed(BaseException):
    """As if the process ended here."""


def killing(at: int) -> Any:
    """Progress that ends the process behind that step."""

    def progress(name: str, done: int, total: int) -> None:
        if done == at + 1:
            raise Killed

    return progress


def always(folder: Path) -> Checkpoint:
    """Written after every step."""
    return Checkpoint(folder / "unfinished" / "run.safetensors", minutes=1e-9)


def weights(context: Context) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in context.lm.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


TAUGHT = [Pair(f"Where is {n}?", f"In town {n * 7 % 5}.") for n in range(12)]


def taught(folder: Path, checkpoint: Checkpoint | None, progress: Any = None) -> tuple[dict[str, torch.Tensor], Curve]:
    context = toy.context(folder)
    context.lm.model.config.attention_dropout = 0.3  # what is drawn has to go on, too
    for layer in context.lm.model.model.layers:
        layer.self_attn.attention_dropout = 0.3
    recipe = Teaching(epochs=4, lr=1e-3, batch_size=4)
    curve = teach(context.lm, TAUGHT, recipe, key="a key", progress=progress, checkpoint=checkpoint)
    return weights(context), curve


@pytest.mark.parametrize("cuts", [(1,), (5,), (2, 3, 9)])
def test_a_model_that_is_taught_in_pieces(tmp_path: Path, cuts: tuple[int, ...]) -> None:
    plain, curve = taught(tmp_path / "plain", None)
    for cut in cuts:
        with pytest.raises(Killed):
            taught(tmp_path / f"cut {cut}", always(tmp_path), killing(cut))
    done: list[int] = []
    found, again = taught(tmp_path / "again", always(tmp_path), lambda name, step, total: done.append(step))
    assert same(found, plain) and again.columns() == curve.columns()
    assert done == [*range(max(cuts) + 1, 13)]


def unlearnt(
    folder: Path, parts: tuple[str, str, str], checkpoint: Checkpoint | None, progress: Any = None
) -> tuple[dict[str, torch.Tensor], Curve]:
    context = toy.context(folder)
    if progress:
        context = replace(context, progress=progress)
    objective, optimizer, scope = parts
    built = (
        load("objective", objective)(**({"layer": 1} if objective == "rmu" else {})),
        load("optimizer", optimizer.partition(" ")[0])(
            lr=1e-3, **({"curvature": optimizer.partition(" ")[2]} if " " in optimizer else {})
        ),
        load("scope", scope)(),
    )
    curve, _ = unlearn(context, *built, Schedule(epochs=6, batch_size=2), trace=4, checkpoint=checkpoint)
    return weights(context), curve


@pytest.mark.parametrize(
    "parts",
    [
        ("npo", "adamw", "all"),
        ("graddiff", "sophia", "simu"),
        ("graddiff", "sophia gauss-newton-bartlett", "all"),
        ("graddiff", "sophia hutchinson", "all"),
        ("pdu", "adamw", "all"),
        ("rmu", "adamw", "lora"),
        ("undial", "adamw", "wagle"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("cut", [1, 4])
def test_unlearning_in_pieces(tmp_path: Path, parts: tuple[str, str, str], cut: int) -> None:
    plain, curve = unlearnt(tmp_path / "plain", parts, None)
    with pytest.raises(Killed):
        unlearnt(tmp_path / "cut", parts, always(tmp_path), killing(cut))
    found, again = unlearnt(tmp_path / "again", parts, always(tmp_path))
    assert same(found, plain)
    assert again.columns() == curve.columns()


def test_bfloat16_weights_keep_their_remainders(tmp_path: Path) -> None:
    def run(name: str, checkpoint: Checkpoint | None, progress: Any = None) -> dict[str, torch.Tensor]:
        context = toy.context(tmp_path / name)
        context.lm.model.to(torch.bfloat16)
        if progress:
            context = replace(context, progress=progress)
        parts = load("objective", "graddiff")(), load("optimizer", "adamw")(lr=1e-5), load("scope", "all")()
        unlearn(context, *parts, Schedule(epochs=6, batch_size=2), trace=0, checkpoint=checkpoint)
        return weights(context)

    plain = run("plain", None)
    with pytest.raises(Killed):
        run("cut", always(tmp_path), killing(5))
    assert same(run("again", always(tmp_path)), plain)


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {"a": [1, 2.5, None, True, "word"], 3: {"b": torch.arange(3), "c": torch.tensor(0.1, dtype=torch.bfloat16)}}
    resume.write(tmp_path / "tree", tree)
    found = resume.read(tmp_path / "tree")
    assert found["a"] == tree["a"] and torch.equal(found[3]["b"], tree[3]["b"])
    assert found[3]["c"].dtype == torch.bfloat16 and found[3]["c"] == tree[3]["c"]


@pytest.mark.parametrize("content", [b"", b"no safetensors", json.dumps({"pairs": []}).encode()])
def test_a_file_that_is_no_state_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    plain, _ = taught(tmp_path / "plain", None)
    checkpoint = always(tmp_path)
    checkpoint.file.parent.mkdir(parents=True)
    checkpoint.file.write_bytes(content)
    assert same(taught(tmp_path / "again", checkpoint)[0], plain)


def test_writing_takes_its_share_of_the_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes a second is followed by 50 seconds without, a quick one by ten."""
    now = [100.0]
    monkeypatch.setattr(resume.time, "monotonic", lambda: now[0])
    took = [0.0]
    monkeypatch.setattr(resume, "write", lambda *_: now.__setitem__(0, now[0] + took[0]))
    checkpoint = Checkpoint(tmp_path / "x")
    assert checkpoint.begin([]) is None
    times = []
    for took[0] in (1.0, 0.01, 0.01):
        while not checkpoint.due:
            now[0] += 0.5
        times.append(now[0])
        checkpoint.write({})
    assert times[0] == 110 and times[1] - times[0] == pytest.approx(51, abs=0.6)
    assert times[2] - times[1] == pytest.approx(10, abs=0.6)


def test_no_state_is_kept_where_nobody_asked_and_it_is_large_or_where_it_was_refused(tmp_path: Path) -> None:
    large = torch.nn.Parameter(torch.empty(resume.LARGEST // 4 + 1, device="meta"))
    for checkpoint, parameters in ((Checkpoint(tmp_path / "x"), [large]), (Checkpoint(tmp_path / "x", 0), [])):
        checkpoint.begin(parameters)
        assert not checkpoint.due
    asked = Checkpoint(tmp_path / "x", 1e-9)
    asked.begin([large])
    assert asked.due
