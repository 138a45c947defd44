"""Two processes that train one model arrive where one does, with the weights whole or in slices."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from bench.cli.options import WORKERS
from bench.errors import UsageError
from bench.run import together
from bench.train import spread
from tests.train import crew


@pytest.fixture(scope="module")
def ended(tmp_path_factory, worker_id):
    """Two processes that met on a free port, as a launcher starts them, when both have ended, and what was saved.

    Of the workers of a test run the first that asks starts them for all.
    """
    own = tmp_path_factory.getbasetemp()
    folder = own if worker_id == "master" else own.parent
    with FileLock(folder / "crew.lock"):
        if not (folder / "crew.json").is_file():
            codes, said = _met(folder / "crew.pt")
            (folder / "crew.json").write_text(json.dumps([codes, said]))
    assert (folder / "crew.pt").is_file(), (folder / "crew.json").read_text()
    return *json.loads((folder / "crew.json").read_text()), torch.load(folder / "crew.pt", weights_only=False)


def _met(file: Path) -> tuple[list[int], list[tuple[str, str]]]:
    """How the two ended and what they printed; what they found is in `file`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    shared |= {"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.crew", str(file)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [p.communicate(timeout=200) for p in processes]
    finally:
        for p in processes:
            p.kill()
    return [p.returncode for p in processes], said


@pytest.fixture(scope="module")
def found(ended):
    return ended[2]


@pytest.fixture(scope="module")
def alone():
    torch.set_num_threads(1)
    return {case: crew.result(case) for case in crew.CASES}


@pytest.mark.slow
@pytest.mark.parametrize("case", crew.CASES)
@pytest.mark.parametrize("settings", crew.SETTINGS)
def test_two_processes_train_as_one(found, alone, settings, case):
    """Losses, norms, shares clipped and the trace to 1e-5, weights to 1e-5; what cannot be is refused, and how else."""
    if settings != "plain" and case in ("hutchinson", "gauss-newton"):
        assert "Take the squared gradient, --set METHOD.curvature=empirical" in found[f"{settings} {case}"]
        return
    if settings != "plain" and case == "single-weights":
        assert "single weights cannot be trained under FSDP" in found[f"{settings} {case}"]
        return
    lines, weights = found[f"{settings} {case}"]
    expected, whole = alone[case]
    assert len(lines) == len(expected) > 8
    for line, other in zip(lines, expected, strict=True):
        if settings != "plain" and case == "simu" and "clipped" in line:  # neurons count once for every process
            assert line["clipped"] == pytest.approx(other["clipped"], abs=0.01)
            line["clipped"] = other["clipped"]
        assert line == pytest.approx(other, abs=1e-5, rel=1e-5)
    assert weights.keys() == whole.keys()
    for name, weight in weights.items():
        assert type(weight) is torch.Tensor
        torch.testing.assert_close(weight, whole[name], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_what_is_shared_is_the_same_in_all_and_an_error_of_all_is_one_to_go_on_from(found):
    assert found["total"] == (3.0, 2, "said by 0")
    assert found["all fail"] == "made to fail"


@pytest.mark.slow
def test_an_error_in_one_process_ends_all_and_only_that_one_says_more_than_the_first(ended):
    """The last call failed in the second process alone: it says what happened, and nothing else all along."""
    codes, said, _ = ended
    assert codes == [1, 1]
    assert said[1][0] == ""
    assert said[1][1].startswith("process 1 of 2 failed where others did not:\nTraceback")
    assert said[1][1].rstrip().endswith("ValueError: made to fail")


def test_one_process_is_as_if_there_were_none(monkeypatch):
    gradient = torch.nn.Parameter(torch.zeros(2))
    gradient.grad = torch.tensor([3.0, 4.0])
    assert (spread.rank(), spread.size(), spread.sharded()) == (0, 1, False)
    assert spread.reduce_gradients([gradient]).item() == 5.0
    assert spread.same(lambda: "made") == "made"
    assert spread.share(0.25, [gradient]) == 0.25
    lm = object()
    with spread.spread(lm, [gradient]) as (model, parameters):
        assert model is lm and parameters[0] is gradient
    assert together.together(max, 2, 3, key=None) == 3
    assert together.led(lambda: 7) == 7


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed.*accelerate launch --multi_gpu"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "Megatron-LM"),
        ({"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}, "parallelism config"),
        ({"ACCELERATE_USE_FSDP": "true"}, "--fsdp_version 2"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, "--fsdp_version 2"),
        ({"PJRT_DEVICE": "TPU"}, "TPU"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, None),
        ({"ACCELERATE_USE_FSDP": "false", "FSDP_VERSION": "1"}, None),
    ],
)
def test_other_ways_to_share_a_training_are_refused(environment, said):
    if said is None:
        return together.check(environment)
    with pytest.raises(UsageError, match=said):
        together.check(environment)


def test_workers_and_launched_processes_do_not_mix(monkeypatch):
    """Launched processes make one cell together, so one worker it is; without a launch nothing is said."""
    choose = WORKERS(lambda: None).__click_params__[0].callback
    assert [choose(None, None, n) for n in (None, 1, 4)] == [None, 1, 4]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert [choose(None, None, n) for n in (None, 1)] == [1, 1]
    with pytest.raises(UsageError, match="^--workers 4: 2 processes were launched to train together. Leave it out.$"):
        choose(None, None, 4)
