"""The TOFU authors' own logs: every number that follows from them, to 1e-9.

Expected values: TOFU's formulas on the logs of LLaMA2-7B fine-tuned on everything and on retain90 (weight decay 0.01),
recomputed by an independent script from the stored losses and texts.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.metrics._rouge import rouge_l
from bench.run.importing import import_log
from bench.score.foreign import read_log, score_log
from bench.store.files import records

GOLDEN = {
    "full": {
        "retain_probability": 0.9895272274,
        "retain_rouge": 0.9856545938,
        "retain_truth_ratio": 0.474698588,
        "ra_probability": 0.4554820778,
        "ra_rouge": 0.933,
        "ra_truth_ratio": 0.5962289157,
        "wf_probability": 0.4185618076,
        "wf_rouge": 0.8824786325,
        "wf_truth_ratio": 0.5390328416,
        "model_utility": 0.6226773637,
        "probability": 0.9909385566,
        "rouge": 0.9854496939,
        "truth_ratio": 0.5159854213,
        "wf_accuracy": 97 / 117,
    },
    "retain90": {
        "retain_probability": 0.9888967275,
        "retain_rouge": 0.9758111851,
        "retain_truth_ratio": 0.470977134,
        "ra_probability": 0.4340871754,
        "ra_rouge": 0.923,
        "ra_truth_ratio": 0.5706808914,
        "wf_probability": 0.4143263304,
        "wf_rouge": 0.8974358974,
        "wf_truth_ratio": 0.5441982317,
        "model_utility": 0.6137449952,
        "probability": 0.1475628123,
        "rouge": 0.4082436195,
        "truth_ratio": 0.6740192658,
    },
}


def _log(shared_data: Path, name: str) -> Path:
    return shared_data / "tofu_logs" / f"llama2-7b_{name}.json"


@pytest.mark.parametrize("model", GOLDEN)
def test_the_authors_numbers(shared_data: Path, model: str) -> None:
    scores = score_log(_log(shared_data, model))
    for name, expected in GOLDEN[model].items():
        assert scores[name].value == pytest.approx(expected, abs=1e-9, rel=0), name
        assert scores[name].lo < expected < scores[name].hi, name
    assert scores["forget_quality"].value is None and "retrain" in scores["forget_quality"].note


def test_forget_quality_of_the_full_model(shared_data: Path) -> None:
    scores = score_log(_log(shared_data, "full"), _log(shared_data, "retain90"))
    assert scores["forget_quality"].value == pytest.approx(1.834066410994743e-21, rel=1e-9)
    assert scores["forget_quality"].n == 300


def test_a_retain_model_against_itself(shared_data: Path) -> None:
    log = _log(shared_data, "retain99")
    found = score_log(log, log)["forget_quality"]
    assert (found.value, found.hi, found.n, found.note) == (1.0, 1.0, 40, "") and found.lo > 0.99


@pytest.mark.parametrize(
    ("compat", "utility"),
    [("tofu", 0.6226773637), ("tofu-training", 0.585886), ("open-unlearning", 0.6226773661)],
)
def test_published_variants_of_utility(shared_data: Path, compat: str, utility: float) -> None:
    digits = len(str(utility)) - 2
    found = score_log(_log(shared_data, "full"), compat=compat)["model_utility"].value
    assert round(found, digits) == utility


def test_rouge_of_every_stored_text_is_the_stored_one(shared_data: Path) -> None:
    compared = 0
    for name in ("full", "retain90", "retain95", "retain99"):
        for section in json.loads(_log(shared_data, name).read_text(encoding="utf-8")).values():
            for i, (_, said, reference) in section["generated_text"].items():
                assert rouge_l(reference, said).recall == section["rougeL_recall"][i]
                compared += 1
    assert compared == 4 * (300 + 100 + 117) + 300 + 300 + 200 + 40


def test_what_is_known_of_a_log(shared_data: Path) -> None:
    log = read_log(_log(shared_data, "retain95"))
    assert log.format == "tofu"
    assert log.meta["items"] == {"forget": 200, "retain": 300, "real_authors": 100, "world_facts": 117}
    assert len(log.generations) == 717 and log.items.columns[:3].tolist() == ["set", "id", "cluster"]


@pytest.mark.parametrize(("log", "reference"), [("full", "retain95"), ("retain90", "retain99")])
def test_a_reference_of_another_split_is_refused(shared_data: Path, log: str, reference: str) -> None:
    with pytest.raises(Exception, match="items of the forget set and .* Give the retrain log of the same split"):
        score_log(_log(shared_data, log), _log(shared_data, reference))


def test_losses_of_another_run_are_noticed(shared_data: Path, tmp_path: Path) -> None:
    """The log holds each mean loss twice, as itself and as sum over count: one of them from another run shows."""
    logs = [json.loads((shared_data / "tofu_logs" / f"llama2-7b_{n}.json").read_text()) for n in ("full", "retain90")]
    mixed = logs[0] | {"eval_log_forget.json": dict(logs[0]["eval_log_forget.json"])}
    mixed["eval_log_forget.json"]["avg_gt_loss"] = logs[1]["eval_log_forget.json"]["avg_gt_loss"]
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(mixed))
    with pytest.raises(UsageError, match=r"mixed\.json: eval_log_forget\.json avg_gt_loss item \d+"):
        read_log(path)


@pytest.mark.parametrize(
    ("task", "method", "says"),
    [("tofu:forget05", "full", "has 300 forget items"), ("tofu:forget10", "../full", "cannot name a row")],
)
def test_logs_are_filed_under_their_own_task_and_a_plain_name(
    shared_data: Path, tmp_path: Path, task: str, method: str, says: str
) -> None:
    log = shared_data / "tofu_logs" / "llama2-7b_full.json"
    with pytest.raises(UsageError, match=says):
        import_log(log, None, task=task, method=method, model="llama2-7b", seed=0, results=tmp_path)
    import_log(log, None, task="tofu:forget10", method="full", model="llama2-7b", seed=0, results=tmp_path)
    (record,) = records(tmp_path, print).values()
    assert (record.cell.data, record.scores["model_utility"].value) == ("elsewhere", pytest.approx(0.6226773637))
