"""A results directory afar: what one machine sends another one has, whole, and nothing that either changed is lost."""

from __future__ import annotations

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.errors import BenchError, UsageError
from bench.store import remote


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_what_one_machine_sends_another_has(afar):
    there, machine = afar
    ours, others = machine("a"), machine("b")
    assert ours != others and remote.of(ours / "embedded" / "x").url.startswith("file://")
    write(ours / "embedded" / "tiny" / "one.json", "1")
    write(ours / "rows" / "k.parquet", "rows")
    remote.push(ours)
    remote.pull(others)
    assert (others / "embedded" / "tiny" / "one.json").read_text() == "1"
    assert not (others / "rows").exists(), "large things come when they are asked for"
    assert remote.fetched(others / "rows" / "k.parquet") and (others / "rows" / "k.parquet").read_text() == "rows"
    assert not remote.fetched(others / "rows" / "nobody.parquet")
    assert not [*there.rglob("*.part")]


def test_a_newer_one_replaces_ours_unless_ours_was_changed_too(afar):
    _, machine = afar
    ours, others = machine("a"), machine("b")
    for name in ("x.json", "y.json"):
        write(ours / name, "first")
    remote.push(ours)
    remote.pull(others)
    write(others / "x.json", "second, there")
    write(others / "y.json", "second, there")
    remote.push(others)
    write(ours / "y.json", "second, here")
    remote.pull(ours)
    assert (ours / "x.json").read_text() == "second, there"
    assert (ours / "y.json").read_text() == "second, here", "work that is not sent yet is not written over"
    remote.push(ours)
    remote.pull(others)
    assert (others / "y.json").read_text() == "second, here"


def test_what_is_lost_here_is_brought_again_and_nothing_afar_is_removed(afar):
    there, machine = afar
    ours = machine("a")
    write(ours / "x.json", "1")
    remote.push(ours)
    (ours / "x.json").unlink()
    remote.push(ours)
    assert (there / "x.json").read_text() == "1"
    remote.pull(ours)
    assert (ours / "x.json").read_text() == "1"


def test_records_are_sent_behind_their_items(afar, monkeypatch):
    _, machine = afar
    ours = machine("a")
    sent = []
    put = remote.Remote._put
    monkeypatch.setattr(remote.Remote, "_put", lambda self, here, name: (sent.append(name), put(self, here, name)))
    for name in ("a.json", "a.parquet", "b.json", "b.answers.parquet"):
        write(ours / name, name)
    remote.push(ours)
    assert sorted(sent[:2]) == ["a.parquet", "b.answers.parquet"] and sorted(sent[2:]) == ["a.json", "b.json"]
    sent.clear()
    remote.push(ours)
    assert not sent, "nothing is sent twice"


def test_a_model_is_one_object_and_comes_whole(afar):
    there, machine = afar
    ours, others = machine("a"), machine("b")
    model = ours / "cache" / "models" / "k1"
    write(model / "model.safetensors", "weights")
    write(model / "bench.json", "{}")
    write(ours / "cache" / "models" / ".k2.half" / "model.safetensors", "half")
    write(ours / "cache" / "unfinished" / "k3.safetensors", "of this machine")
    write(ours / "cache" / "attribution-k.npz", "mask")
    remote.push(ours)
    assert [p.name for p in (there / "cache" / "models").iterdir()] == ["k1.zip"]
    assert not (there / "cache" / "unfinished").exists()
    here = others / "cache" / "models" / "k1"
    assert remote.fetched(here) and (here / "model.safetensors").read_text() == "weights"
    assert not [p for p in here.parent.iterdir() if p != here]
    remote.pull(others, remote.CACHE)
    assert (others / "cache" / "attribution-k.npz").read_text() == "mask"
    changed = (there / "cache" / "models" / "k1.zip").stat().st_mtime_ns
    remote.push(others)
    assert (there / "cache" / "models" / "k1.zip").stat().st_mtime_ns == changed


def test_only_what_is_asked_for_is_brought_by_folder(afar):
    _, machine = afar
    ours, others = machine("a"), machine("b")
    write(ours / "embedded" / "tiny" / "tofu" / "x.json", "1")
    write(ours / "embedded" / "tiny" / "lume" / "x.json", "1")
    remote.push(ours)
    remote.pull(others, "embedded/tiny/tofu")
    assert [p.relative_to(others).as_posix() for p in others.rglob("x.json")] == ["embedded/tiny/tofu/x.json"]
    remote.pull(others, "embedded/tiny/none")


def test_names_from_afar_stay_within_the_mirror(afar, tmp_path):
    there, machine = afar
    ours = machine("a")
    write(there / ".hidden" / "x", "1")
    write(there / "fine.json", "1")
    write(there / "half.json.part", "1")
    listed = remote.Remote(ours)._listed("")
    assert set(listed) == {"fine.json"}
    assert not remote._wanted("../out.json", "") and not remote._wanted("a\\..\\b", "") and not remote._wanted("", "")
    model = there / "cache" / "models"
    model.mkdir(parents=True)
    with zipfile.ZipFile(model / "k.zip", "w") as archive:
        archive.writestr("../../../../escaped", "x")
    assert remote.fetched(ours / "cache" / "models" / "k")
    assert not [p for p in tmp_path.rglob("escaped") if ours / "cache" / "models" / "k" not in p.parents]


def test_what_goes_wrong_is_said_with_the_place(afar, tmp_path):
    there, machine = afar
    ours = machine("a")
    write(ours / "x.json", "1")
    write(there, "a file where the directory should be")
    with pytest.raises(BenchError, match=r"file://.*cannot be written: .*What is finished is kept in "):
        remote.push(ours)
    there.unlink()
    remote.push(ours)
    assert (there / "x.json").read_text() == "1", "the next one sends it"
    (ours / remote.NOTE).write_text("{")
    with pytest.raises(BenchError, match=r"\.remote\.json cannot be read.*Remove .*: it is brought again"):
        remote.pull(ours)


def test_a_place_that_takes_nothing_is_known_before_anything_is_made(afar, tmp_path):
    there, machine = afar
    ours = machine("a")
    remote.knock(ours)
    assert not [path for path in there.rglob("*") if path.is_file()]
    there.rename(tmp_path / "gone")
    write(there, "a file where the directory should be")
    with pytest.raises(BenchError, match=r"file://.*cannot be written"):
        remote.knock(ours)
    remote.knock(tmp_path)


def test_what_was_sent_before_a_failure_is_not_sent_again(afar, monkeypatch):
    _, machine = afar
    ours = machine("a")
    for name in ("1.json", "2.json"):
        write(ours / name, name)
    put = remote.Remote._put

    def once(self, here, name):
        if name == "2.json":
            raise OSError("gone")
        put(self, here, name)

    monkeypatch.setattr(remote.Remote, "_put", once)
    with pytest.raises(BenchError, match="gone"):
        remote.push(ours)
    assert set(json.loads((ours / remote.NOTE).read_text())["files"]) == {"1.json"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param(
            "s3://bucket/x",
            r"pip install 'unlearning-bench\[s3\]'",
            marks=pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed"),
        ),
        ("zzz://x", r"such as s3://BUCKET/results"),
    ],
)
def test_places_that_nothing_here_reads_say_what_to_type(url, said):
    with pytest.raises(UsageError, match=rf"--results {url}: .*{said}"):
        remote.mirror(url)


def test_a_directory_that_is_no_mirror_is_left_alone(tmp_path):
    remote.pull(tmp_path)
    remote.push(tmp_path)
    assert remote.of(tmp_path) is None and not remote.fetched(tmp_path / "x") and not [*tmp_path.iterdir()]
