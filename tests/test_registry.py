"""One new file is enough; what is wrong with it is said with file and line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import registry
from bench.errors import BenchError, UsageError

NPO = '''"""A made-up objective."""
from bench.api import method, objective

@objective("{name}")
class Loss:
    """Forgets by doing nothing."""

method("fo-{name}", "nothing, first order", objective="{name}", scope="attention")
'''


@pytest.fixture
def room(tmp_path, monkeypatch):
    """An empty room of declarations in place of the real ones."""
    folder = tmp_path / "someroom"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setattr(registry, "ROOMS", {"someroom": folder})
    monkeypatch.syspath_prepend(str(tmp_path))
    kept = dict(registry._things)
    registry.scan.cache_clear()
    yield folder
    for name in [m for m in sys.modules if m.split(".")[0] == "someroom"]:
        del sys.modules[name]
    registry._things.clear()
    registry._things.update(kept)
    registry.scan.cache_clear()


def test_one_file_declares_everything(room: Path):
    (room / "nothing.py").write_text(NPO.format(name="nil"))
    assert registry.names("objective") == ["nil"]
    assert registry.names("method") == ["fo-nil"]
    found = registry.find("method", "fo-nil")
    assert (found.doc, found.parts["scope"], found.line) == ("nothing, first order", "attention", 8)
    assert registry.find("objective", "nil").doc == "Forgets by doing nothing."
    assert registry.load("method", "fo-nil").objective == "nil"


def test_listing_imports_nothing(room: Path):
    (room / "heavy.py").write_text('raise SystemExit("imported")\n' + NPO.format(name="nil"))
    assert registry.select("method", "all") == ["fo-nil"]


def test_duplicates_name_both_places(room: Path):
    (room / "one.py").write_text(NPO.format(name="nil"))
    (room / "two.py").write_text("\n\n" + NPO.format(name="nil"))
    with pytest.raises(UsageError, match=r"one\.py:4 and .*two\.py:6"):
        registry.scan()


def test_a_broken_file_is_named_with_its_line(room: Path):
    (room / "broken.py").write_text("x = method()\ndef (:\n")
    with pytest.raises(UsageError, match=r"broken\.py:2"):
        registry.names("method")


def test_only_files_that_can_declare_a_kind_are_parsed_for_it_and_all_of_them_for_all(room: Path):
    (room / "nothing.py").write_text(NPO.format(name="nil"))
    (room / "broken.py").write_text("from bench.api import metric\ndef (:\n")
    assert registry.names("method") == ["fo-nil"] and registry.find("objective", "nil").module == "someroom.nothing"
    with pytest.raises(UsageError, match=r"broken\.py:2"):
        registry.scan()


def test_of_each_kind_as_much_is_found_as_of_all():
    whole = registry.scan()
    assert {key: found for kind in registry.KINDS for key, found in registry.scan(kind).items()} == whole
    assert len({kind for kind, _ in whole}) > 5


def test_a_file_that_cannot_be_imported_is_named_with_its_line(room: Path):
    (room / "lost.py").write_text(NPO.format(name="nil") + "\nimport no_such_package_anywhere\n")
    with pytest.raises(BenchError, match=r"lost\.py:10 .*no_such_package_anywhere.*method 'fo-nil'"):
        registry.load("method", "fo-nil")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("from bench.train import Step", "write: from bench.contracts import Step."),
        ("from bench.train.loop import Step", "write: from bench.contracts import Step."),
        (
            "from bench.train import Context, label_logps",
            "from bench.contracts import Context; from bench.train.batches",
        ),
        ("from bench.models import LM, Encoded", "write: from bench.contracts import Encoded, LM."),
        ("from bench.architecture import layers", "write: from bench.model.architecture import layers."),
        ("from bench.masking import trainable", "write: from bench.train.masking import trainable."),
    ],
)
def test_a_file_that_imports_from_where_something_was_is_told_where_it_is(room: Path, line: str, says: str):
    """`bench.train.Step` was in README until the package had rooms."""
    (room / "mine.py").write_text(NPO.format(name="nil").replace("from bench.api", f"{line}\nfrom bench.api", 1))
    with pytest.raises(BenchError, match="mine.py:2 cannot be imported") as told:
        registry.load("method", "fo-nil")
    assert says in str(told.value)


@pytest.mark.parametrize("line", ["from bench.api import Nonsense", "import bench.nowhere", "import no_such_package"])
def test_nothing_is_said_of_what_never_was(room: Path, line: str):
    (room / "mine.py").write_text(NPO.format(name="nil").replace("from bench.api", f"{line}\nfrom bench.api", 1))
    with pytest.raises(BenchError, match="cannot be imported") as told:
        registry.load("method", "fo-nil")
    assert "In place of" not in str(told.value)


def test_a_computed_name_is_refused(room: Path):
    (room / "clever.py").write_text('from bench.api import objective\nNAME = "x"\n@objective(NAME)\nclass L: ...\n')
    with pytest.raises(UsageError, match=r"clever\.py:3 .*literal"):
        registry.scan()


def test_unknown_names_get_suggestions(room: Path):
    (room / "nothing.py").write_text(NPO.format(name="nil"))
    with pytest.raises(UsageError, match=r"no method 'fo-nill'\. Did you mean 'fo-nil'\?"):
        registry.find("method", "fo-nill")


def test_groups_are_what_stands_before_the_mark():
    assert registry.select("task", "tofu") == ["tofu:forget01", "tofu:forget05", "tofu:forget10"]
    assert {"simu-graddiff", "simu-npo"} <= set(registry.select("method", "simu"))
    assert all(name.startswith("simu-") for name in registry.select("method", "simu"))
    assert registry.select("method", "fo-npo,target,fo-npo") == ["fo-npo", "target"]
    assert set(registry.select("method", "all")) == set(registry.names("method"))
    with pytest.raises(UsageError, match="Did you mean 'tofu'"):
        registry.select("task", "tofuu")
    with pytest.raises(UsageError, match="no method named"):
        registry.select("method", " , ")


def test_families_are_groups_of_methods():
    ascent = ["fo-ga", "so-ga", "fo-graddiff", "so-graddiff"]
    assert [name for name in registry.select("method", "ascent") if name in registry.MISSION] == ascent
    assert registry.select("method", "ascent") == registry.families()["ascent"]
    assert registry.select("method", "control") == ["target", "retrain"]
    assert registry.select("method", "mission") == [*registry.MISSION] and len(registry.MISSION) == 10
    assert set(registry.MISSION) <= set(registry.names("method"))
    assert {name for members in registry.families().values() for name in members} == set(registry.names("method"))
    assert all(registry.families()) and next(iter(registry.families())) == "control"
    with pytest.raises(UsageError, match="no method 'missoin'. Did you mean 'mission'"):
        registry.select("method", "missoin")
    with pytest.raises(UsageError, match="no task 'mission'"):
        registry.select("task", "mission")


def test_a_family_and_a_beginning_of_the_same_word_are_one_group_and_all_leaves_out_no_method(room: Path):
    declared = '\nmethod("{0}", "doc", objective="nil", family="{1}")'
    text = NPO.format(name="nil")
    for name, family in (("odd-one", "odd"), ("another", "odd"), ("odd-two", "even"), ("idk", "x"), ("idk-dpo", "x")):
        text += declared.format(name, family)
    (room / "many.py").write_text(text)
    assert registry.select("method", "odd") == ["odd-one", "odd-two", "another"]
    assert registry.select("method", "x") == ["idk", "idk-dpo"] and registry.select("method", "idk") == ["idk"]
    assert registry.select("method", "all") == registry.names("method")
    assert registry.families()[""] == ["fo-nil"] and list(registry.families())[-1] == ""
