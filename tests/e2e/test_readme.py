"""The commands of README and of docs/using.md print what stands there; `python docs/readme.py` writes it anew."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from tests.e2e.conftest import ROOT


def _script():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "docs" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


readme = _script()
EXAMPLES = [
    pytest.param(
        example,
        id=f"{example.page}: {' '.join(example.command.split()[2:4])}",
        marks=[pytest.mark.slow] if example.trains else [],
    )
    for example in readme.examples()
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_command_prints_what_the_page_says(example, tmp_path):
    if absent := [path.name for path in example.needs if not path.exists()]:
        pytest.skip(f"not here: {', '.join(absent)}")
    printed = readme.run(example, tmp_path)
    assert readme.fits(example.output, printed), (
        f"{example.page} says otherwise. Run: python docs/readme.py --quick\n\n{printed}"
    )


@pytest.mark.slow
def test_the_tutorial_can_be_typed_from_its_beginning_to_its_end(tmp_path):
    """Every command prints what stands there, and what it shows of files is in the files that were written."""
    (page,) = readme.WALKS
    for example in readme.examples([page]):
        printed = readme.run(example, tmp_path, empty=True)
        assert readme.fits(example.output, printed), f"{example.command}. Run: python docs/readme.py\n\n{printed}"
    written = [path.read_text(encoding="utf-8") for path in (tmp_path / "here" / "mine").iterdir() if path.is_file()]
    for shown in re.findall(r"```(?:python|json)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert any(shown in text for text in written), shown


@pytest.mark.slow
def test_tables_of_the_pages_are_what_the_results_say():
    assert readme.main(["--check"]) == 0


def test_the_method_of_the_readme_can_be_declared_as_it_stands():
    (source,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    look = "from bench.registry import _things as t; print('method', 'fo-floored') in t or t['objective', 'floored']()"
    done = subprocess.run(
        [sys.executable, "-c", f"{source}\n{look}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_files_that_the_pages_link_to_are_there():
    for page in (*readme.PAGES, *readme.WALKS):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_three_dots_stand_for_anything():
    assert readme.fits("a ... c\n", "a b c\n") and not readme.fits("a ... c\n", "a b\nc\n")
    assert readme.fits("a\n...\nz\n", "a\nb\nc\nz\n") and readme.fits("a\n...\n", "a\n")
    assert not readme.fits("a\n", "a\nb\n") and not readme.fits("a.c\n", "abc\n")


def test_new_output_is_left_out_where_the_page_leaves_out():
    printed = "head 1\nx 2\ny 3\nz 4\ntail 5\n"
    assert readme.refit("head 0\n...\nz 0\n...\n", printed) == "head 1\n...\nz 4\n...\n"
    assert readme.refit("...\ny 0\n...\n", printed) == "...\ny 3\n...\n"
    assert readme.refit("head ...\nx 0\n", printed) == "head ...\nx 2\ny 3\nz 4\ntail 5\n"
    assert readme.refit("old\n", printed) == printed
    assert readme.refit("head 1\n...\n", printed) == "head 1\n...\n"
