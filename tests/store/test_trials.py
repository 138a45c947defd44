"""Trials on disk: read back as written, shared by processes, a cut line left out, nothing else accepted."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.store import trials
from bench.store.trials import Point, Trial

POINT = Point(0.5, 20, {"headline": 0.5, "erased": None}, {"extraction_strength": 0.01}, 1.5)
TRIAL = Trial("fo-npo", 3, {"lr": 1e-4}, {"lr": 1e-4, "beta": 0.1}, "embedded@100", 0, points=(POINT,), updates=40)


def test_a_trial_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = trials.path(trials.folder(tmp_path, "embedded", "a/b", "tofu:forget10"), "fo-npo")
    assert file == tmp_path / "tuning/embedded/a--b/tofu-forget10/fo-npo.jsonl"
    assert trials.read(file) == []
    trials.append(file, TRIAL)
    trials.append(file, dataclasses.replace(TRIAL, number=4, status="failed", points=()))
    assert trials.read(file) == [TRIAL, dataclasses.replace(TRIAL, number=4, status="failed", points=())]


def test_a_run_is_kept_once(tmp_path: Path) -> None:
    file = tmp_path / "fo-npo.jsonl"
    for changed in ({}, {"updates": 7}, {"seed": 1}, {"fresh": True}):
        trials.append(file, dataclasses.replace(TRIAL, **changed))
    assert [(t.updates, t.seed, t.fresh) for t in trials.read(file)] == [(40, 0, False), (40, 1, False), (40, 0, True)]


def test_a_line_that_was_cut_off_is_run_again_and_breaks_nothing(tmp_path: Path) -> None:
    file = tmp_path / "fo-npo.jsonl"
    trials.append(file, TRIAL)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:100] + "é".encode()[:1])  # within a letter
    assert trials.read(file) == [TRIAL]
    other = dataclasses.replace(TRIAL, number=4)
    trials.append(file, other)
    assert trials.read(file) == [TRIAL, other]


def test_an_error_may_hold_any_letter(tmp_path: Path) -> None:
    file = tmp_path / "fo-npo.jsonl"
    failed = dataclasses.replace(TRIAL, status="failed", error="a\u2028b\x85c\n\x0cd", points=())
    trials.append(file, failed)
    assert trials.read(file) == [failed]


@pytest.mark.parametrize(
    ("line", "says"),
    [("nonsense\n", "is no trial"), ("[]\n", "is no trial"), ('{"schema": 1}\n', "is no trial"),
     ('{"schema": 99, "points": []}\n', "Update the program")],
)  # fmt: skip
def test_what_is_no_trial_is_named_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "fo-npo.jsonl"
    trials.append(file, TRIAL)
    with file.open("a") as out:
        out.write(line)
    with pytest.raises(BenchError, match=rf"fo-npo\.jsonl:2.*{says}"):
        trials.read(file)


def test_a_claim_keeps_others_out_until_its_holder_ends_however_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "fo-npo.jsonl"
    holds = f"""
import sys, time
from pathlib import Path
from bench.store import trials
with trials.claimed(Path({str(file)!r}), "3") as mine:
    print(mine, flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        with trials.claimed(file, "3") as mine:
            assert not mine
        with trials.claimed(file, "4") as mine:
            assert mine
    finally:
        holder.kill()
        holder.wait()
    with trials.claimed(file, "3") as mine:
        assert mine


def test_beginnings_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "fo-npo.jsonl"
    with trials.claimed(file, "3"):
        assert [trials.attempt(file, "3") for _ in range(3)] == [1, 2, 3]
        trials.end_attempt(file, "3")  # was stopped
        assert trials.attempt(file, "3") == 3
        trials.end_attempt(file, "3", 3)  # has ended
        assert trials.attempt(file, "3") == 1
