"""`bench check` says of one part, demand by demand, what is wrong, where, and what to do; status 1 if anything is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.cli.new import TEMPLATES
from tests.conformance.newcomers import BROKEN, LINE, MISTAKES, SHRINK, TASK, TRANSFORM_MISTAKES

pytestmark = pytest.mark.usefixtures("alone")


def checked(tmp_path: Path, text: str, capsys, *names: str, status: int = 1) -> str:
    """What is said of a file of declarations."""
    place = tmp_path / "checked_part.py"
    place.write_text(text)
    assert main(["check", *names, "--plugin", str(place)]) == status
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    return told.out


def at(text: str, line: str) -> int:
    """The number of the first line of a source that begins so."""
    return next(number for number, found in enumerate(text.splitlines(), 1) if found.startswith(line))


@pytest.mark.parametrize("mistake", ["no docstring", "no gradient", "a value that text cannot give"])
def test_a_mistake_is_told_with_its_place(mistake: str, tmp_path: Path, capsys):
    old, new, says = MISTAKES[mistake]
    text = BROKEN.replace(old, new)
    said = checked(tmp_path, text, capsys, "newcomer")
    (found,) = [line for line in said.splitlines() if says in line]
    assert re.match(rf"\s+(\S*/)?checked_part\.py:{at(text, '@objective')}: ", found)
    assert re.search(r"[12] of \d+ demands not met", said)


def test_what_can_still_be_asked_is_asked_after_a_failure(tmp_path: Path, capsys):
    old, new, says = TRANSFORM_MISTAKES["a changed set"]
    said = checked(tmp_path, SHRINK.replace(old, new), capsys, "newcomer-shrink")
    assert (
        says in said
        and said.index("failed") < said.index("ok      run again")
        and re.search(r"\b1 of \d+ demands not met", said)
    )


def test_an_error_of_the_parts_own_is_told_by_its_line(tmp_path: Path, capsys):
    text = BROKEN.replace(LINE, LINE + "        forget = forget / step.nothing\n")
    said = checked(tmp_path, text, capsys, "newcomer")
    assert f"checked_part.py:{at(text, '        forget = forget / step')}: AttributeError: 'Step' object has" in said
    assert "failed  it runs on the toy\n          as above" in said


def test_a_file_that_cannot_be_imported_ends_it(tmp_path: Path, capsys):
    said = checked(tmp_path, BROKEN + "import no_such_package_anywhere\n", capsys, "newcomer")
    assert "checked_part.py:" in said and "cannot be imported: ModuleNotFoundError" in said
    assert "1 of 1 demands not met" in said


def test_without_a_name_all_that_a_plugin_declares_is_asked(tmp_path: Path, capsys):
    said = checked(tmp_path, TASK, capsys, status=0)
    assert said.startswith("task newcomer-towns\n") and "all 8 demands met" in said


def test_a_part_alone_is_tried_within_a_composition(capsys):
    assert main(["check", "mlp", "adamw"]) == 0
    said = capsys.readouterr().out
    assert "scope mlp\n" in said and "ok      its objective graddiff is frozen" in said and "optimizer adamw\n" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "check what? Name a method, task, metric"),
        (["fo-nop"], "no part 'fo-nop'. Did you mean 'fo-npo'"),
        (["--plugin", str(Path(__file__))], "declares nothing"),
    ],
)
def test_what_nobody_declares_is_refused(words: list[str], says: str, capsys):
    assert main(["check", *words]) == 2
    assert says in capsys.readouterr().err


def filled(template: str, name: str, old: str, new: str) -> str:
    """A template of `bench new` with a mistake."""
    words = {"name": name, "title": name, "cls": "Own", "column": "own", "metric": f"{name}_rouge", "year": "2026"}
    text = re.sub(r"\$\{?(\w+)\}?", lambda m: words[m[1]], (TEMPLATES / f"{template}.py.txt").read_text())
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"minimise"  #', '"less"  #', "its goal is 'less'. Write one of maximise, minimise, match"),
        ('(("forget", "own"),)', '("forget", "own")', "Name pairs of set and column"),
        ('return {"own"', 'return {"mine"', "its `items` gives no column 'own'"),
        ('.set_index(["set", "id"])', "", "is no pandas Series by (set, id)"),
        ('"Share of the', '" Share of the', ""),
        (
            "    def items(",
            "    def score(self, sample, retrain):\n        return sample[self.needs[0]].mean()\n\n    def items(",
            "give it the shape (), not (3,). Reduce the last axis",
        ),
        (
            "    def items(",
            "    def score(self, sample, retrain):\n        return sample[self.needs[0]][..., 0]\n\n    def items(",
            "its score depends on the order of the items",
        ),
    ],
)
def test_a_mistake_of_a_metric_is_told(old: str, new: str, says: str, tmp_path: Path, capsys):
    said = checked(tmp_path, filled("metric", "own_metric", old, new), capsys, status=int(bool(says)))
    assert says in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("set=SET, ", "", "the set forget is the task's own, whose numbers must stay as they are"),
        (
            'metrics: ClassVar = ("own_probe_rouge",)',
            "metrics: ClassVar = ()",
            "name the metrics that 'own_probe' makes",
        ),
        ('((SET, "rouge"),)', '(("capitals", "rouge"),)', "reads the set capitals, which nobody measures"),
        ("set=SET, prompt", 'set=SET, id="0", prompt', "two prompts of 'own_probe' have one id"),
        ("return Probes((), tuple(", "return tuple(tuple(", "its `ask` returns tuple. Return Probes(texts, prompts)"),
    ],
)
def test_a_mistake_of_a_probe_is_told(old: str, new: str, says: str, tmp_path: Path, capsys):
    assert says in checked(tmp_path, filled("probe", "own_probe", old, new), capsys, "own_probe")


@pytest.mark.parametrize(
    ("kind", "old", "new", "says"),
    [
        (
            "inference",
            "torch.logaddexp(refusal, logits.log_softmax(-1) + math.log(self.leak))",
            "refusal",
            "some answers have a log-probability that is not finite. What is refused must stay possible",
        ),
        (
            "loss",
            "        return LossTerms(",
            "        (",
            "its loss returns NoneType. Write return LossTerms(total, ",
        ),
        ("transform", "        return context.lm", "        raise SystemExit(4)", "SystemExit: 4"),
    ],
)
def test_what_a_new_method_was_spoilt_with_is_told(kind: str, old: str, new: str, says: str, tmp_path: Path, capsys):
    place = tmp_path / "spoilt.py"
    assert main(["new", "method", "own-spoilt", "--kind", kind, "--to", str(place)]) == 0
    place.write_text(place.read_text().replace(old, new))
    assert main(["check", "own-spoilt", "--plugin", str(place)]) == 1
    assert says in capsys.readouterr().out


def test_the_place_of_a_failed_import_is_told_once(tmp_path: Path, capsys):
    said = checked(tmp_path, "import no_such_package_anywhere\n" + BROKEN, capsys, "newcomer")
    assert said.count("checked_part.py:") == 1 and "checked_part.py:1 cannot be imported" in said
