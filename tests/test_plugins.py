"""Declarations outside of this package: found, read before they are run, hashed with what they import, told apart."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import keys, plugins, registry
from bench.cli.main import main
from bench.errors import BenchError, UsageError
from bench.run.compose import compose
from bench.run.provenance import outside_code, own_code, provenance

pytestmark = pytest.mark.usefixtures("alone")
LOSS = '''"""A made-up objective. Me 2026."""
from bench.api import method, objective
from {helper} import twice

@objective("{name}")
class Loss:
    """Forgets by doing nothing."""

method("fo-{name}", "nothing, first order", objective="{name}")
'''
HELPER = "def twice(x):\n    return 2 * x\n"


def plug(*files: Path) -> None:
    plugins.use(files)
    registry.scan.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "plugged_helper.py").write_text(HELPER)
    mine = tmp_path / "plugged_loss.py"
    mine.write_text(LOSS.format(name="plugged", helper="plugged_helper"))
    return mine


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution of two modules and a helper, as pip leaves it behind."""
    site = tmp_path / "site"
    (site / "plugged_pack").mkdir(parents=True)
    (site / "plugged_pack" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (site / "plugged_pack" / "_help.py").write_text(HELPER)
    (site / "plugged_pack" / "mine.py").write_text(LOSS.format(name="packed", helper="._help"))
    about = site / "plugged_pack-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged-pack\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[unlearning_bench.methods]\nmine = plugged_pack.mine\n")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    return site


def test_a_file_is_read_before_it_is_run_and_loads_what_lies_beside_it(file: Path):
    assert "fo-plugged" not in registry.names("method")
    plug(file)
    assert registry.find("method", "fo-plugged").doc == "nothing, first order"
    assert "plugged_loss" not in sys.modules
    assert registry.load("objective", "plugged").__module__ == "plugged_loss"
    assert os.environ[plugins.VARIABLE] == str(file)  # what worker processes inherit


def test_its_key_is_that_of_its_code_and_of_what_it_imports(file: Path, tmp_path: Path):
    plug(file)
    assert sorted(keys.source_files("plugged_loss")) == ["plugged_helper", "plugged_loss"]
    before = compose("fo-plugged", "tiny").sources["objective plugged"]
    keys.source_hash.cache_clear()
    (tmp_path / "plugged_helper.py").write_text(f'"""Explained."""\n{HELPER}')
    assert compose("fo-plugged", "tiny").sources["objective plugged"] == before, "words are no code"
    keys.source_hash.cache_clear()
    (tmp_path / "plugged_helper.py").write_text(HELPER.replace("2", "3"))
    assert compose("fo-plugged", "tiny").sources["objective plugged"] != before


def test_a_plugin_beside_this_package_does_not_take_the_package_for_its_own(tmp_path: Path):
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "api.py").write_text("")
    (tmp_path / "json.py").write_text("")
    mine = tmp_path / "plugged_loss.py"
    mine.write_text("import json\nfrom bench.api import method\nmethod('fo-plugged', 'x', objective='ga')\n")
    plug(mine)
    assert [*keys.source_files("plugged_loss")] == ["plugged_loss"]


def test_an_installed_package_declares_by_an_entry_point(package: Path):
    assert registry.find("method", "fo-packed").module == "plugged_pack.mine"
    assert "plugged_pack" not in sys.modules
    (package / "plugged_pack" / "__init__.py").write_text("")
    assert registry.load("method", "fo-packed").objective == "packed"
    assert sorted(keys.source_files("plugged_pack.mine")) == ["plugged_pack._help", "plugged_pack.mine"]


def test_an_entry_point_may_name_a_package_of_modules(package: Path):
    (package / "plugged_pack-1.0.dist-info" / "entry_points.txt").write_text(
        "[unlearning_bench.methods]\nall = plugged_pack\n[unlearning_bench.tasks]\nall = plugged_pack\n"
    )
    importlib.invalidate_caches()
    plugins._sources.cache_clear()
    assert sorted(plugins.sources()) == ["plugged_pack", "plugged_pack._help", "plugged_pack.mine"]
    assert "fo-packed" in registry.names("method")


def test_an_entry_point_to_nothing_names_its_package(package: Path):
    shutil.rmtree(package / "plugged_pack")
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match=r"package plugged-pack .* that plugged_pack\.mine declares something, and"):
        registry.scan()


def test_a_taken_name_is_told_with_both_places(file: Path, package: Path):
    file.write_text(file.read_text().replace("fo-plugged", "fo-npo"))
    with pytest.raises(UsageError, match=r"'fo-npo' is declared twice: .*methods/npo\.py:\d+ and .*plugged_loss\.py:9"):
        plug(file)
        registry.scan()
    file.write_text(file.read_text().replace("fo-npo", "fo-packed"))
    with pytest.raises(UsageError, match=r"plugged_loss\.py:9 and .*plugged_pack/mine\.py:9"):
        registry.scan()


def test_two_files_of_one_name_are_told(file: Path, tmp_path: Path):
    (tmp_path / "deep").mkdir()
    other = Path(shutil.copy(file, tmp_path / "deep"))
    plug(file, other)
    with pytest.raises(UsageError, match=r"two plugins are called plugged_loss\.py: .* Rename one of them"):
        registry.scan()


def test_a_file_may_be_named_alone_and_with_its_folder(file: Path):
    plug(file, file.parent)
    assert registry.find("method", "fo-plugged").path == file


def test_a_folder_without_a_python_file_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--plugin .*: no Python file is in that folder"):
        plug(tmp_path)


def test_a_file_called_like_another_module_is_told(tmp_path: Path):
    mine = tmp_path / "torch.py"
    mine.write_text("from bench.api import method\nmethod('fo-plugged', 'x', objective='ga')\n")
    plug(mine)
    with pytest.raises(UsageError, match=r"another module is called 'torch' .* Rename the file"):
        registry.load("method", "fo-plugged")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("plugged_none.py", None, "there is no such file"),
        ("my-loss.py", "", "Call it something like my_loss.py"),
        ("plugged_odd.py", "def (:\n", "plugged_odd.py:1 cannot be read: invalid syntax"),
    ],
)
def test_what_is_no_plugin_is_refused_without_a_traceback(tmp_path, name, text, says, capsys):
    if text is not None:
        (tmp_path / name).write_text(text)
    assert main(["list", "methods", "--plugin", str(tmp_path / name)]) == 2
    assert says in capsys.readouterr().err


def test_a_plugin_that_cannot_be_imported_is_named_with_its_line(file: Path):
    (file.parent / "plugged_helper.py").unlink()
    plug(file)
    with pytest.raises(
        BenchError, match=r"plugged_loss\.py:3 cannot be imported: ModuleNotFoundError: .*plugged_helper"
    ):
        registry.load("method", "fo-plugged")


@pytest.mark.parametrize("before", [True, False])
def test_the_option_holds_for_one_command_before_or_after_its_name(file: Path, before: bool, capsys):
    option = ["--plugin", str(file)]
    assert main([*option * before, "list", "methods", *option * (not before)]) == 0
    assert "fo-plugged" in capsys.readouterr().out
    assert not os.environ[plugins.VARIABLE]
    assert main(["list", "methods"]) == 0
    assert "fo-plugged" not in capsys.readouterr().out


def test_a_file_in_a_room_is_no_plugin_beside():
    plug(registry.ROOMS["methods"] / "npo.py")
    assert registry.find("method", "fo-npo").module == "methods.npo"


def test_a_record_names_the_plugins_that_made_it(file: Path):
    plug(file)
    method = registry.load("method", "fo-plugged")
    outside = outside_code(method, "tofu:forget10")
    assert [module for module, _ in outside] == ["plugged_helper", "plugged_loss"]
    assert {name for name in own_code(method, "tofu:forget10") if name.startswith("methods")} >= {"methods/adamw.py"}
    told = provenance(outside=outside)
    assert told["plugins"].keys() == {"plugged_helper", "plugged_loss"} and len(told["plugins"]["plugged_loss"]) == 64
    assert told["dirty"] and "plugged_loss (plugin)" in told["changed"]


def test_a_plugin_that_a_commit_holds_is_not_dirty(file: Path):
    plug(file)
    outside = outside_code(registry.load("method", "fo-plugged"), "tofu:forget10")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "mine"]):
        subprocess.run([*git, *words], cwd=file.parent, check=True)
    assert not [name for name in provenance(outside=outside)["changed"] if "(plugin)" in name]
    file.write_text(file.read_text() + "\n")
    assert "plugged_loss (plugin)" in provenance(outside=outside)["changed"]


def test_a_folder_stands_for_its_files(file: Path):
    (file.parent / "_private.py").write_text("def (:\n")
    plug(file.parent)
    assert sorted(plugins.sources()) == ["plugged_helper", "plugged_loss"]
    assert registry.load("method", "fo-plugged").objective == "plugged"
