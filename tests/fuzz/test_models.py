"""Readers of checkpoints, of what is attached to them, and of unfinished trainings; nothing pickled is ever loaded."""

from __future__ import annotations

import ast
import json
import math
import pickle
import struct
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from bench.contracts import Context
from bench.errors import BenchError, UsageError
from bench.model import attachments, checkpoint, recipes, weights
from bench.registry import ROOMS
from bench.run.keeping import about_kept
from bench.train import resume
from tests.fuzz.mutate import binaries, json_texts, nested, trees
from tests.fuzz.reading import REFUSED, files_of, folder, fuzzed, read, soon
from tests.pretrained.conftest import save

CONFIGS = ("config.json", "tokenizer_config.json", "tokenizer.json", "generation_config.json")


@cache
def whole() -> Mapping[str, bytes]:
    """The files of a small checkpoint."""
    torch.set_num_threads(1)
    with folder() as place:
        return files_of(save(place))


@pytest.fixture(autouse=True)
def nothing_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks torch for a pickled file fails the test."""

    def refuse(*given: Any, **named: Any) -> None:
        raise SystemExit("torch.load was called")

    monkeypatch.setattr(torch, "load", refuse)


def lay(place: Path, **changed: bytes) -> Path:
    for name, content in {**whole(), **changed}.items():
        (place / name).write_bytes(content)
    recipes._content.cache_clear()
    return place


# -- checkpoints -----------------------------------------------------------------------------------------------------


def config(**changed: Any) -> bytes:
    return json.dumps({**json.loads(whole()["config.json"]), **changed}).encode()


def test_the_checkpoint_that_is_changed_below_is_whole() -> None:
    with folder() as place:
        checkpoint.check(lay(place))
        recipes.checkpoint_identity(str(place))


@pytest.mark.parametrize("name", CONFIGS)
@given(data=st.data())
@fuzzed(12, share=0.25)
def test_a_checkpoint_s_words_fit_or_are_refused(name: str, data: st.DataObject) -> None:
    with folder() as place:
        file = lay(place) / name
        file.write_bytes(data.draw(json_texts(json.loads(whole()[name]))))
        before = files_of(place)
        read(lambda: checkpoint.check(place), place)
        read(lambda: recipes.checkpoint_identity(str(place)), place)
        assert files_of(place) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 10**400},
        {"hidden_size": 10**400},
        {"vocab_size": -1},
        {"num_attention_heads": 0},
        {"auto_map": {"AutoModelForCausalLM": "evil.Model"}, "model_type": "evil"},
        {"auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}},
        {"model_type": ["llama"]},
        {"model_type": {}},
        {"_name_or_path": "../../outside"},
        {"deep": nested(900)},
    ],
    ids=str,
)
def test_a_config_that_asks_for_what_cannot_be_is_refused_or_ignored(changed: dict[str, Any]) -> None:
    with folder() as place:
        (lay(place) / "config.json").write_bytes(config(**changed))
        (place / "evil.py").write_text(f"open({str(place / 'was_run')!r}, 'w')")
        read(lambda: checkpoint.check(place), place)
        assert not (place / "was_run").exists()


@given(binaries(b""))
@fuzzed(1)
def test_a_tokenizer_without_a_word_is_refused(content: bytes) -> None:
    with folder() as place:
        (lay(place) / "tokenizer.json").write_bytes(content)
        assert read(lambda: checkpoint.check(place), place) is REFUSED


def header(tensors: Any, size: int | None = None) -> bytes:
    said = json.dumps(tensors).encode()
    return struct.pack("<Q", len(said) if size is None else size) + said


ONE = {"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}


def safetensors() -> st.SearchStrategy[bytes]:
    plain = trees(ONE).map(lambda tree: header(tree) + bytes(16))
    return st.one_of(plain, binaries(header(ONE) + bytes(16)))


@given(safetensors())
@example(header(ONE, 2**63) + bytes(16))
@example(header(ONE, 2**64 - 1))
@example(header({"w": {"dtype": "F32", "shape": [10**400], "data_offsets": [0, 0]}}))
@example(header({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}))
@example(header({"w": {"dtype": "F32", "shape": [math.inf], "data_offsets": [0, 0]}}))
@example(header({"w": nested(900)}))
@example(b"")
@fuzzed(120)
def test_a_header_of_tensors_is_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        (place / weights.WHOLE).write_bytes(content)
        found = read(lambda: weights.shapes(place), place)
        if found is not REFUSED:
            assert all(isinstance(n, int) and n >= 0 for shape in found.values() for n in shape)
            weights.count(place)


@given(json_texts({"metadata": {"total_size": 16}, "weight_map": {"w": "part.safetensors"}}))
@example(b'{"weight_map": {"w": "../../outside.safetensors"}}')
@example(b'{"weight_map": {"w": "/outside.safetensors"}}')
@fuzzed(80)
def test_an_index_of_tensors_stays_within_its_folder(content: bytes) -> None:
    with folder() as place:
        (place / "part.safetensors").write_bytes(header(ONE) + bytes(16))
        (place / weights.INDEX).write_bytes(content)
        found = read(lambda: weights.shapes(place), place)
        assert found is REFUSED or found in ({}, {"w": (2, 2)})


def test_weights_beside_a_checkpoint_s_folder_are_not_read() -> None:
    with folder() as place:
        inner = place / "model"
        inner.mkdir()
        (place / "outside.safetensors").write_bytes(header(ONE) + bytes(16))
        for name in ("../outside.safetensors", str(place / "outside.safetensors")):
            (inner / weights.INDEX).write_text(json.dumps({"weight_map": {"w": name}}))
            with pytest.raises(UsageError, match="no index of weights"):
                weights.shapes(inner)


class Runs:
    """Writes a file as soon as it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.place), "w")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.pt", "w.ckpt", weights.WHOLE]
)
def test_pickled_weights_are_refused_without_being_loaded(name: str) -> None:
    with folder() as place:
        (lay(place) / weights.WHOLE).unlink()
        (place / name).write_bytes(pickle.dumps({"w": Runs(place / "was_run")}))
        for reader in (checkpoint.check, lambda p: recipes.checkpoint_identity(str(p))):
            with pytest.raises(UsageError, match=r"pickled weights|no safetensors file"):
                reader(place)
        assert not (place / "was_run").exists()
        pickle.loads((place / name).read_bytes())
        assert (place / "was_run").exists()  # it would have been seen


def test_pickled_weights_beside_safetensors_are_not_loaded() -> None:
    from bench.model.models import load

    with folder() as place:
        (lay(place) / "pytorch_model.bin").write_bytes(pickle.dumps({"w": Runs(place / "was_run")}))
        (place / "training_args.bin").write_bytes(pickle.dumps(Runs(place / "was_run")))
        (place / "optimizer.pt").write_bytes(pickle.dumps(Runs(place / "was_run")))
        load(place)
        assert not (place / "was_run").exists()


# -- attachments -----------------------------------------------------------------------------------------------------

ATTACHED = {"schema": 1, "attached": [{"name": "o3", "version": 1, "values": {"x": [1, 2]}, "tensors": ["w", "d.w"]}]}


@given(json_texts(ATTACHED))
@example(b"[" * 100_000)
@fuzzed(60)
def test_attachments_are_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        (place / attachments.ABOUT).write_bytes(content)
        (place / attachments.TENSORS).write_bytes(header(ONE) + bytes(16))
        found = read(lambda: attachments.load(place), place)
        assert found in (REFUSED, ())


# -- what the cache holds --------------------------------------------------------------------------------------------


@given(json_texts({"notes": [], "cost": {"seconds": 1.0}}))
@example(b"[" * 100_000)
@fuzzed(30)
def test_what_is_told_of_a_kept_model_is_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        (place / "bench.json").write_bytes(content)
        assert isinstance(read(lambda: about_kept(place), place / "bench.json"), dict | object)


STATE = {"step": 3, "weights": [torch.zeros(2)], "curve": {"lines": []}, 5: "a number as a key", "seconds": 1.5}


@cache
def unfinished() -> tuple[bytes, Any]:
    with folder() as place:
        resume.write(place / "state", STATE)
        content = (place / "state").read_bytes()
    size = int.from_bytes(content[:8], "little")
    said = json.loads(content[8 : 8 + size])
    return content, (json.loads(said["__metadata__"]["tree"]), said, content[8 + size :])


@st.composite
def states(draw: Any) -> bytes:
    content, (tree, said, rest) = unfinished()
    if draw(st.booleans()):
        return draw(binaries(content))
    said = {**said, "__metadata__": {"tree": json.dumps(draw(trees(tree)))}}
    return header(said) + rest


def state(tree: Any) -> bytes:
    _, (_, said, rest) = unfinished()
    return header({**said, "__metadata__": {"tree": json.dumps(tree)}}) + rest


@given(states())
@example(state({"pairs": [["step", 1]]}))
@example(state({"pairs": [["seconds", "soon"]]}))
@example(state({"pairs": [[[], 1], ["seconds", 1]]}))
@example(state({"pairs": None}))
@example(state({"tensor": []}))
@example(state({"pairs": [["seconds", 10**400]]}))
@fuzzed(100)
def test_a_state_is_there_or_is_none(content: bytes) -> None:
    with folder() as place:
        file = place / "state"
        file.write_bytes(content)
        kept = resume.Checkpoint(file, minutes=1.0)
        found = read(lambda: kept.begin([]), file)
        assert found is None or (isinstance(found, dict) and 0 <= kept.seconds < math.inf)


def contexts(cache: Path) -> Context:
    return Context(None, (), (), "task", 0, cache, lambda *_: None)  # type: ignore[arg-type]


def arrays() -> bytes:
    with folder() as place:
        contexts(place).kept("name", "key", lambda: [np.arange(3.0), np.ones((2, 2))])
        return (place / "name-key.npz").read_bytes()


@given(binaries(arrays()))
@fuzzed(80)
def test_arrays_that_are_kept_are_read_or_made_again(content: bytes) -> None:
    with folder() as place:
        (place / "name-key.npz").write_bytes(content)
        with soon():
            found = contexts(place).kept("name", "key", lambda: [np.arange(3.0), np.ones((2, 2))])
        assert all(isinstance(array, np.ndarray) and array.dtype != object for array in found)


def test_arrays_that_were_pickled_are_made_again() -> None:
    with folder() as place:
        odd = np.array([Runs(place / "was_run")], dtype=object)
        np.savez(place / "name-key.npz", odd, seconds=np.float64(1), peak=np.float64(1))
        (found,) = contexts(place).kept("name", "key", lambda: [np.arange(3.0)])
        assert found.tolist() == [0, 1, 2] and not (place / "was_run").exists()


# -- code ------------------------------------------------------------------------------------------------------------

SOURCES = [Path(weights.__file__).parents[1], *(ROOMS[name] for name in ("methods", "tasks"))]


def calls() -> Iterator[tuple[str, ast.Call]]:
    for room in SOURCES:
        for path in sorted(room.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield f"{path.name}:{node.lineno}", node


def test_no_code_of_a_checkpoint_is_trusted_and_everything_that_could_says_so() -> None:
    """Whatever loads a model, a tokenizer or a configuration is told not to run code that comes with it."""
    seen = 0
    for where, call in calls():
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        trusted = named.get("trust_remote_code")
        assert trusted is None or (isinstance(trusted, ast.Constant) and trusted.value is False), where
        own = call.func.value if isinstance(call.func, ast.Attribute) else None
        loads = isinstance(call.func, ast.Attribute) and call.func.attr == "from_pretrained"
        if loads and isinstance(own, ast.Name) and own.id.startswith("Auto"):
            assert trusted is not None, f"{where} leaves it to a default"
            seen += 1
    assert seen >= 3


def test_nothing_here_unpickles() -> None:
    """No import of what unpickles, no torch.load, no numpy file with objects, no YAML, no eval."""
    banned = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
    for room in SOURCES:
        for path in sorted(room.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {name.split(".")[0] for name in names} & banned, path
    for where, call in calls():
        said = ast.unparse(call.func)
        assert said not in ("torch.load", "torch.hub.load", "eval", "exec", "pd.read_pickle"), where
        if said in ("np.load", "numpy.load"):
            assert "allow_pickle=False" in ast.unparse(call), where


def test_a_training_that_finds_another_state_says_which_file() -> None:
    from bench.train.loop import fit

    class Tiny:
        device = torch.device("cpu")

    weight = torch.nn.Parameter(torch.zeros(2))
    with folder() as place:
        resume.write(place / "state", {"seconds": 0.0, "weights": []})
        optimizer = torch.optim.SGD([weight], lr=0.1)
        kept = resume.Checkpoint(place / "state", minutes=1.0)
        with pytest.raises(BenchError, match="is no state of this training") as said:
            fit(Tiny(), [weight], optimizer, [1], lambda *_: None, warmup=0.0, checkpoint=kept)  # type: ignore[arg-type]
        assert str(place / "state") in str(said.value)
