"""Several values of a parameter: which cells they make, and what is said before a large run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli.cells import planned
from bench.cli.main import main
from bench.errors import UsageError
from bench.run.estimate import Estimate
from bench.run.plan import Planned


def cells(methods: str, *assignments: str, task: str = "tofu:forget01") -> dict[str, Planned]:
    nowhere = Path("/nowhere")
    _, found = planned(methods, task, "tiny", "embedded", "0", assignments, nowhere, nowhere)
    return {c.cell.method: c for c in found}


def test_swept_cells_are_the_variants_that_can_be_typed():
    made = cells("fo-npo", "fo-npo.lr=1e-5,3e-5", "fo-npo.epochs=2")
    assert list(made) == ["retrain", "target", "fo-npo", "fo-npo@lr=1e-5@epochs=2", "fo-npo@lr=3e-5@epochs=2"]
    assert made["fo-npo"].composed.parameters["epochs"] == 2
    typed = cells("fo-npo@lr=1e-5@epochs=2")["fo-npo@lr=1e-5@epochs=2"]
    assert made[typed.cell.method] == typed
    set_ = cells("fo-npo", "fo-npo.lr=1e-5", "fo-npo.epochs=2")["fo-npo"]
    assert set_.keys == typed.keys and set_.cell != typed.cell
    assert len({c.keys["train"] for c in made.values()}) == 5


def test_a_group_sweeps_those_of_its_methods_that_are_asked_for():
    assert [name for name in cells("fo-ga,so-npo", "fo.lr=1e-5,1e-4") if "@" in name] == [
        "fo-ga@lr=1e-5", "fo-ga@lr=1e-4"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="none of --methods so-npo has that name"):
        cells("so-npo", "fo-npo.lr=1e-5,1e-4")
    with pytest.raises(UsageError, match="fo-npo.lr takes a number, not 'x'"):
        cells("fo-npo", "fo-npo.lr=1e-5,x")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """What `bench run` says where nothing is run and every model and cell takes ten minutes."""
    monkeypatch.setattr("bench.cli.run.run_open", lambda *_, meanwhile, hire: meanwhile())
    monkeypatch.setattr("bench.cli.run.start_workers", lambda _: None)
    monkeypatch.setattr(
        "bench.run.estimate.estimates", lambda _, cells, threads: [Estimate(str(c.cell), 1, 600.0, c) for c in cells]
    )

    def told(*words: str) -> str:
        main(["run", "--tasks", "tofu:forget01", "--workers", "2", "--results", str(tmp_path / "r"), "--cache",
              str(tmp_path / "c"), *words])  # fmt: skip
        return capsys.readouterr().err

    return told


def test_a_large_run_says_how_long_it_may_take(run):
    said = run("--methods", "all,fo-ga@lr=1e-5")
    line = next(line for line in said.splitlines() if "--methods mission is the ten of the showcase" in line)
    count = int(line.split(" methods")[0].strip("("))
    assert count >= 10
    assert f"({count} methods and 1 variant) x 1 task x 1 seed: {count + 1} cells, about " in line
    assert line.split("about ")[1].startswith(f"{(count + 1) * 5} min on 2 workers" if count < 19 else "")


def test_a_sweep_says_how_many_cells_and_a_small_run_does_not(run):
    said = run("--methods", "fo-ga", "--set", "fo-ga.lr=1e-5,1e-4,1e-3", "--set", "fo-ga.clip=0,1")
    assert "(3 methods and 6 variants) x 1 task x 1 seed: 9 cells, about 45 min on 2 workers\n" in said
    assert "workers" not in run("--methods", "fo-ga")
