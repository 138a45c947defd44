"""What the command line says, above all when it is misused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.conftest import ROOT


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], ["list", "methods"], ["list", "tasks"], ["list", "metrics"], ["list", "models"]]
)
def test_help_and_lists_import_nothing_heavy(words):
    code = (
        "import sys; from bench.cli.main import main; status = main(sys.argv[1:]);"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'scipy', 'datasets', 'importlib.metadata',"
        "'bench.contracts', 'bench.api', 'bench.run.plan', 'email', 'subprocess', 'tempfile'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(status)"
    )
    run = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) > 1


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["run", "--methods", "npoo"], 2, "no method 'npoo'"),
        (["run", "--methods", "fo-np"], 2, "Did you mean 'fo-npo'"),
        (["run", "--tasks", "tofu:forget11"], 2, "no task 'tofu:forget11'. Did you mean"),
        (["run", "--seeds", "0,x"], 2, "--seeds 0,x: write whole numbers"),
        (["run", "--seeds", "1,1"], 2, "each seed once"),
        (["run", "--data", "nowhere"], 2, "--data nowhere: no such directory"),
        (["run", "--set", "fo-npo.beta"], 2, "write METHOD.PARAM=VALUE"),
        (["run", "--set", "fo-npo.bta=1"], 2, "no parameter of fo-npo 'bta'. Did you mean 'beta'"),
        (["run", "--dry-run", "--methods", "fo-npo", "--set", "fo-npo.beta=-1"], 2, "fo-npo.beta must be"),
        (
            ["run", "--dry-run", "--methods", "fo-npo", "--set", "fo-npo.epochs=x"],
            2,
            "fo-npo.epochs takes a whole number, not 'x'",
        ),
        (["run", "--dry-run", "--model", "no/such-model"], 1, "no/such-model"),
        (["run", "--methods", "npo+sofia"], 2, "no optimizer 'sofia'. Did you mean 'sophia'"),
        (["leaderboard", "--results", "nowhere"], 1, "nowhere is no directory"),
        (["list", "method"], 2, "is not one of"),
        (["score", "nowhere.json"], 2, "nowhere.json cannot be read"),
        (["score", "--json"], 2, "go with a LOG"),
        (["run", "--dry-run", "--model", "tinny"], 2, "no model 'tinny'"),
        (["run", "--methods", "fo-ga", "--set", "fo-npo.lr=1"], 2, "none of --methods fo-ga has that name"),
        (["run", "--dry-run", "--methods", "fo-ga", "--set", "fo-ga.lr=inf"], 2, "must be a finite number"),
        (["run", "--probes", "gradient"], 2, "no probe 'gradient'. Did you mean 'gradient-norm'"),
    ],
)
def test_misuse_is_said_with_what_to_type(typed, words, status, says):
    _, said = typed(*words, status=status)
    assert says in said
    assert "Traceback" not in said


def test_misuse_ends_the_process_with_that_status(bench):
    said = bench("run", "--methods", "npoo", status=2).stderr
    assert "no method 'npoo'" in said and "Traceback" not in said


def test_everything_wrong_is_said_at_once(typed):
    _, said = typed("run", "--methods", "npoo", "--tasks", "tofuu", "--seeds", "x", status=2)
    assert all(word in said for word in ("npoo", "tofuu", "--seeds x"))


def test_results_that_cannot_be_written_are_named_before_any_work(typed, tmp_path):
    (tmp_path / "afile").touch()
    _, said = typed("run", "--methods", "target", "--tasks", "tofu:forget01", "--results", "afile/r", status=1)
    assert "cannot write afile/r" in said
    assert "with --results DIR" in said
    assert not (tmp_path / ".cache").exists()


def test_any_objective_goes_with_any_optimizer_and_scope(typed):
    words = ("run", "--dry-run", "--tasks", "tofu:forget01", "--methods")
    _, said = typed(*words, "npo+sophia+simu,graddiff", status=2)
    assert "no method 'graddiff'" in said
    out, _ = typed(*words, "npo+sophia+simu")
    assert "npo+sophia+simu" in out
