"""Readers of settings and of plugins' source, which is read without being run."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench import plugins, registry
from bench.errors import BenchError, UsageError
from bench.run.compose import compose
from bench.run.presets import settings
from tests.fuzz.mutate import TEXTS, binaries, to_toml, trees
from tests.fuzz.reading import REFUSED, folder, fuzzed, read, soon

# -- settings --------------------------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {
    "schedule": {"lr": 0.001, "epochs": 3},
    "objective": {"npo": {"beta": 0.2}},
    "method": {"fo-npo": {"beta": 0.1}},
    "benchmark": {"tofu": {"method": {"fo-npo": {"lr": 0.002}}, "tuning_trials": {"fo-npo": 3}}},
    "task": {"tofu:forget10": {"method": {"fo-npo": {"epochs": 2}}, "tuning": {"trials": 4}}},
    "tuning": {"objective": "oracle", "model": "tiny", "trials": 12},
}


def toml_files() -> st.SearchStrategy[bytes]:
    plain = trees(SETTINGS).map(lambda tree: to_toml(tree).encode("utf-8", errors="replace"))
    return st.one_of(plain, plain, plain, binaries(to_toml(SETTINGS).encode()))


@given(toml_files())
@example(b"x = " + b"[" * 5000)
@example(to_toml({**SETTINGS, "schedule": []}).encode())
@example(to_toml({**SETTINGS, "objective": {"": {"beta": 0.2}}}).encode())  # nobody's name, in which file?
@example(to_toml({**SETTINGS, "tuning": "yes"}).encode())
@example(to_toml({**SETTINGS, "tuning": {"objective": "oracle", "model": "tiny", "trials": "many"}}).encode())
@example(to_toml({**SETTINGS, "task": {"tofu:forget10": {"tuning": 5}}}).encode())
@example(to_toml({**SETTINGS, "benchmark": {"tofu": {"tuning_trials": 7}}}).encode())
@example(to_toml({**SETTINGS, "benchmark": {"tofu": {"tuning_trials": {"fo-npo": "7"}}}}).encode())
@fuzzed(100)
def test_settings_are_well_formed_or_refused(content: bytes) -> None:
    with folder() as place:
        file = place / "mine.toml"
        file.write_bytes(content)
        settings.cache_clear()
        found = read(lambda: settings("tiny", str(file)), file)
        if found is not REFUSED:
            assert isinstance(found.label, str)
            assert isinstance(found.trials("fo-npo", "tofu:forget10"), int)
            repr(found.said_of("fo-npo", "tofu:forget10")).encode()
            with soon():
                try:
                    compose("fo-npo", "tiny", None, "tofu:forget10", str(file))
                except UsageError:
                    pass  # of a parameter, by its name


# -- plugins ---------------------------------------------------------------------------------------------------------

PLUGIN = textwrap.dedent('''
    """A loss. Somebody 2026."""
    from dataclasses import dataclass
    from bench.api import LossTerms, method, objective, param

    raise SystemExit("it was run")

    @objective("mine")
    @dataclass(frozen=True)
    class Mine:
        """What it does."""
        beta: float = param(0.1, "how much", gt=0)

    fo_mine = method("fo-mine", "a doc", objective="mine", optimizer="adamw", family="ascent", control=True)
    ''')
LINES = PLUGIN.splitlines()


@st.composite
def sources(draw: Any) -> bytes:
    """A plugin with lines dropped, doubled, moved or cut, and with odd names in it."""
    lines = [*LINES]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        do = draw(st.sampled_from(("drop", "double", "cut", "name", "call", "deep", "indent")))
        if not lines or do == "deep":
            lines.insert(at, "x = " + "(" * draw(st.sampled_from((10, 150, 3000))))
        elif do == "drop":
            del lines[at]
        elif do == "double":
            lines.insert(at, lines[at])
        elif do == "cut":
            lines[at] = lines[at][: draw(st.integers(0, 30))]
        elif do == "indent":
            lines[at] = "    " + lines[at]
        else:
            name = repr(draw(st.sampled_from(TEXTS)))
            call = draw(st.sampled_from(("method({})", "task({})", "method({}, {})", "metric({})", "@objective({})")))
            lines.insert(at, call.replace("{}", name if do == "name" else "1 + 1"))
    return "\n".join(lines).encode("utf-8", errors="surrogatepass")


@given(st.one_of(sources(), sources(), binaries(PLUGIN.encode())))
@example(b"x = " + b"-" * 100_000 + b"1")
@example(b"x = " + b"(" * 100_000)
@example(b"x = " + b"a." * 20_000 + b"a")
@example(b"\0")
@example(b'# -*- coding: utf-7 -*-\nmethod("x", "y")')
@example(b'method("../../outside", "a doc", objective="npo")')
@example(b'method("..", "a doc", objective="npo")')
@example(b'method("a\\x00b", "a doc", objective="npo")')
@example(b'method("\\ud800", "a doc", objective="npo")')
@example(b'task("", "x")')
@fuzzed(100)
def test_the_source_of_a_plugin_is_well_formed_or_refused_and_never_run(content: bytes) -> None:
    with folder() as place:
        file = place / "mine.py"
        file.write_bytes(content)
        found = read(lambda: registry._declarations("mine", file, [*registry._DECLARERS]), file)
        if found is not REFUSED:
            for declared in found:
                assert declared.kind in registry.KINDS and declared.path == file
                declared.name.encode()
        assert [p.name for p in place.iterdir()] == ["mine.py"]


def test_a_declared_name_that_no_file_can_have_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    for name in ("..", "", ".x", "a\\b", "a\nb", "\0", "\ud800", "n" * 300):
        file.write_text(f'\nmethod({name!r}, "a doc", objective="npo")\n')
        with pytest.raises(UsageError, match="mine.py:2 declares a method"):
            registry._declarations("mine", file, ["method"])


def test_a_plugin_is_read_before_it_is_run(tmp_path: Path, alone: None) -> None:
    """What it declares is known while its code, which writes a file, has not been run."""
    (tmp_path / "evil.py").write_text(
        f'open({str(tmp_path / "was_run")!r}, "w")\nfrom bench.api import method\n'
        'method("evil-one", "a doc", objective="npo")\n'
    )
    plugins.use([tmp_path / "evil.py"])
    registry.scan.cache_clear()
    assert "evil-one" in registry.names("method")
    assert not (tmp_path / "was_run").exists()


def test_a_plugin_that_cannot_be_named_so_is_refused(tmp_path: Path) -> None:
    for name in ("a-b.py", "a b.py", "x.txt", "1.py"):
        (tmp_path / name).write_text("")
        with pytest.raises(BenchError, match="imported by its name"):
            plugins.use([tmp_path / name])
