"""Logs as TOFU and open-unlearning write them: read alike, scored by the right formulas, refused when broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from scipy.stats import hmean, ks_2samp
from sklearn.metrics import roc_auc_score

from bench.errors import UsageError
from bench.score.foreign import read_log, score_log

SETS = {"forget": 12, "retain": 10, "ra": 6, "wf": 7}
WORDS = ["the", "author", "was", "born", "in", "Lima", "and", "wrote", "novels", "rivers"]


def _texts(rng: np.random.Generator) -> tuple[str, str, dict[str, float]]:
    reference, said = (" ".join(rng.choice(WORDS, size=int(rng.integers(2, 8)))) for _ in range(2))
    said = f"{said} {reference.upper()}" if rng.random() < 0.3 else said
    scores = RougeScorer(["rouge1", "rougeL"], use_stemmer=True).score(reference, said)
    return reference, said, {"rouge1_recall": scores["rouge1"].recall, "rougeL_recall": scores["rougeL"].recall}


def _measured(seed: int, fitted: float) -> dict[str, list[dict[str, Any]]]:
    """By set, what both harnesses write of an item; `fitted` is how much lower forget losses are."""
    data, model = np.random.default_rng(0), np.random.default_rng(seed)  # the texts are those of the data
    return {
        name: [
            {
                "loss": float(model.exponential() * (1 - fitted * (name == "forget"))),
                "para": float(1 + model.exponential()),
                "pert": (1 + model.exponential(size=5 if name in ("forget", "retain") else 3)).tolist(),
                "question": f"question {i} of {name}?",
                "texts": _texts(data),
            }
            for i in range(n)
        ]
        for name, n in SETS.items()
    }


def tofu_log(seed: int = 1, fitted: float = 0.0) -> dict[str, Any]:
    """TOFU's eval_log_aggregated.json; in the general sets the paraphrase is the answer."""
    sections = {}
    files = {"retain": "eval_log", "ra": "eval_real_author_wo_options", "wf": "eval_real_world_wo_options"}
    for name, items in _measured(seed, fitted).items():
        table: dict[str, dict[str, Any]] = {}
        for i, item in enumerate(items):
            correct = item["para"] if name in ("forget", "retain") else item["loss"]
            reference, said, rouge = item["texts"]
            fields = {
                "avg_gt_loss": item["loss"],
                "gt_loss": item["loss"] * 4,
                "num_token_gt": 4,
                "generated_text": [f"[INST] {item['question']} [/INST]", said, reference],
                **rouge,
                "average_perturb_loss": item["pert"],
                "avg_paraphrased_loss": correct,
                "truth_ratio": float(np.exp(correct - np.mean(item["pert"]))),
            }
            for field, value in fields.items():
                table.setdefault(field, {})[str(i)] = value
        sections[f"{files.get(name, 'eval_log_forget')}.json"] = table
    return sections


def open_unlearning_log(seed: int = 1, fitted: float = 0.0) -> dict[str, Any]:
    """TOFU_EVAL.json with its totals by open-unlearning's formulas, 1e-10 included; ids have become strings."""
    log: dict[str, Any] = {}

    def put(metric: str, total: float, entries: list[dict[str, Any]]) -> None:
        log[metric] = {"agg_value": float(total), "value_by_index": {str(i): e for i, e in enumerate(entries)}}

    for name, items in _measured(seed, fitted).items():
        loss, pert = np.array([x["loss"] for x in items]), np.array([x["pert"] for x in items])
        probabilities = np.exp(-loss)
        answers = [{"prob": float(p), "avg_loss": float(v)} for p, v in zip(probabilities, loss, strict=True)]
        put(f"{name}_Q_A_Prob", probabilities.mean(), answers)
        wrong = [{"prob": np.exp(-row).tolist(), "avg_loss": row.tolist()} for row in pert]
        put(f"{name}_Q_A_PERT_Prob", np.exp(-pert).mean(), wrong)
        correct = loss
        if name in ("forget", "retain"):
            correct = np.array([x["para"] for x in items])
            paraphrases = [{"prob": float(np.exp(-v)), "avg_loss": float(v)} for v in correct]
            put(f"{name}_Q_A_PARA_Prob", np.exp(-correct).mean(), paraphrases)
        else:
            shares = probabilities / (probabilities + np.exp(-pert).sum(axis=1) + 1e-10)
            put(f"{name}_Q_A_Prob_normalised", shares.mean(), [{"prob": float(p)} for p in shares])
        ratio = np.exp(-pert.mean(axis=1)) / (np.exp(-correct) + 1e-10)
        if name == "forget":
            total = np.mean(np.minimum(ratio, 1 / (ratio + 1e-10)))
            put("forget_truth_ratio", total, [{"score": float(r)} for r in ratio])
        else:
            put(f"{name}_Truth_Ratio", np.mean(np.maximum(0, 1 - ratio)), [{"score": float(r)} for r in ratio])
        rouge = [
            {**x["texts"][2], "input": x["question"], "ground_truth": x["texts"][0], "generation": x["texts"][1]}
            for x in items
        ]
        put(f"{name}_Q_A_ROUGE", np.mean([r["rougeL_recall"] for r in rouge]), rouge)
    parts = [f"{s}_{m}" for s in ("retain", "ra", "wf") for m in ("Q_A_ROUGE", "Truth_Ratio")]
    parts += ["retain_Q_A_Prob", "ra_Q_A_Prob_normalised", "wf_Q_A_Prob_normalised"]
    log["model_utility"] = {"agg_value": float(hmean([log[part]["agg_value"] for part in parts]))}
    rng = np.random.default_rng(seed)
    memorised = rng.random(SETS["forget"])
    put("exact_memorization", memorised[1:].mean(), [{"score": None}, *({"score": float(v)} for v in memorised[1:])])
    put("extraction_strength", memorised.mean(), [{"score": float(v)} for v in memorised])
    for attack in ("mia_loss", "mia_min_k"):
        sides = {"forget": rng.exponential(size=12) * (1 - fitted), "holdout": rng.exponential(size=12)}
        if attack == "mia_loss":
            sides["forget"] = np.array([e["avg_loss"] for e in log["forget_Q_A_Prob"]["value_by_index"].values()])
        auc = float(roc_auc_score([0] * 12 + [1] * 12, np.concatenate(list(sides.values()))))
        tables = {
            side: {
                "agg_value": float(v.mean()),
                "value_by_index": {str(i): {"score": float(x)} for i, x in enumerate(v)},
            }
            for side, v in sides.items()
        }
        log[attack] = {**tables, "auc": auc, "agg_value": auc}
    return log


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a log and returns its path."""

    def writer(log: Any, name: str = "log.json") -> Path:
        path = tmp_path / name
        path.write_text(log if isinstance(log, str) else json.dumps(log), encoding="utf-8")
        return path

    return writer


STATED = {
    "probability": "forget_Q_A_Prob",
    "rouge": "forget_Q_A_ROUGE",
    "truth_ratio": "forget_truth_ratio",
    "model_utility": "model_utility",
    "exact_memorisation": "exact_memorization",
    "extraction_strength": "extraction_strength",
    "mia_auc": "mia_loss",
    "mia_min_k": "mia_min_k",
    "retain_truth_ratio": "retain_Truth_Ratio",
    "ra_probability": "ra_Q_A_Prob_normalised",
    "wf_rouge": "wf_Q_A_ROUGE",
}


def test_open_unlearnings_totals_under_its_name(write) -> None:
    """What it states is what `compat` gives, and close to it what the correct form gives: healthy models only."""
    path = write(open_unlearning_log())
    stated = read_log(path).meta["stated"]
    published, correct = score_log(path, compat="open-unlearning"), score_log(path)
    for ours, theirs in STATED.items():
        if ours != "exact_memorisation":
            assert published[ours].value == pytest.approx(stated[theirs], rel=1e-12), ours
        assert correct[ours].value == pytest.approx(stated[theirs], rel=1e-7), ours
    assert correct["exact_memorisation"].n == 11 and correct["exact_memorisation"].note == "1 unscored"


def test_open_unlearnings_comparisons(write) -> None:
    """Forget quality and PrivLeak as its own formulas give them from the two logs."""
    here, there = open_unlearning_log(1, 0.9), open_unlearning_log(2)
    scores = score_log(write(here), write(there, "retrain.json"), compat="open-unlearning")
    ratios = [[e["score"] for e in log["forget_truth_ratio"]["value_by_index"].values()] for log in (here, there)]
    assert scores["forget_quality"].value == pytest.approx(ks_2samp(*ratios).pvalue, rel=1e-9)
    a, b = (1 - log["mia_min_k"]["auc"] for log in (here, there))
    assert scores["privleak"].value == pytest.approx(100 * (a - b) / (b + 1e-10), rel=1e-9)


def test_a_log_without_option_losses_says_what_its_ratios_carry(write) -> None:
    log = open_unlearning_log()
    whole = score_log(write(log))["truth_ratio"]
    del log["forget_Q_A_PERT_Prob"]
    path = write(log)
    assert score_log(path)["truth_ratio"].value == pytest.approx(whole.value, rel=1e-7)
    assert any("forget" in note and "1e-10" in note for note in read_log(path).meta["notes"])


def test_both_formats_of_one_run_agree(write) -> None:
    tofu, other = score_log(write(tofu_log())), score_log(write(open_unlearning_log(), "TOFU_EVAL.json"))
    for name, score in tofu.items():
        if score.value is not None:
            assert other[name].value == pytest.approx(score.value, rel=1e-12), name
    assert tofu["model_utility"].value and tofu["mia_auc"].value is None
    said = [(x["texts"][1], x["texts"][0]) for x in _measured(1, 0.0)["ra"]]
    assert tofu["ra_accuracy"].value == np.mean([true.lower() in text.lower() for text, true in said])


def test_the_order_of_a_log_is_nothing(write) -> None:
    log = tofu_log()
    backwards = {
        section: {field: dict(reversed(table.items())) for field, table in fields.items()}
        for section, fields in reversed(log.items())
    }
    assert score_log(write(log)) == score_log(write(backwards, "backwards.json"))


# -- refusals --------------------------------------------------------------------------------------------------------


def _broken(log: dict[str, Any], *where: str, value: Any = None) -> dict[str, Any]:
    """A copy with one place changed, or taken out."""
    made = copy.deepcopy(log)
    table = made
    for key in where[:-1]:
        table = table[key]
    if value is None:
        del table[where[-1]]
    else:
        table[where[-1]] = value
    return made


FORGET = "eval_log_forget.json"
NAN, INF = float("nan"), float("inf")
CASES = {
    "cut off": (json.dumps(tofu_log())[:2000], "no complete JSON .* cut off. Fetch it again"),
    "a list": ([1, 2], "neither TOFU's aggregated log nor .* It holds list"),
    "something else": ({"config": {}}, "It holds 'config'"),
    "summary": ({"forget_quality": 0.1, "model_utility": 0.6}, "give TOFU_EVAL.json, not TOFU_SUMMARY.json"),
    "one section": (tofu_log()[FORGET], "log of one set; give the aggregated one"),
    "a section missing": (_broken(tofu_log(), FORGET), "lacks eval_log_forget.json"),
    "a field missing": (_broken(tofu_log(), FORGET, "avg_gt_loss"), "has no field 'avg_gt_loss'"),
    "an item missing": (
        _broken(tofu_log(), FORGET, "avg_gt_loss", "3"),
        "forget.json has 11 items in avg_gt_loss and 12 .* item 3 is not in both. The log mixes two runs",
    ),
    "NaN": (_broken(tofu_log(), FORGET, "avg_gt_loss", "3", value=NAN), "avg_gt_loss item 3 is nan, no finite number"),
    "infinite option": (
        _broken(tofu_log(), "eval_log.json", "average_perturb_loss", "7", value=[1.0, INF]),
        r"eval_log.json average_perturb_loss item 7 is \[1.0, inf\]",
    ),
    "no numbers": (_broken(tofu_log(), FORGET, "avg_gt_loss", value={}), "has 0 items in avg_gt_loss and 12"),
    "texts of another run": (
        _broken(tofu_log(), FORGET, "rougeL_recall", "5", value=0.123),
        "rougeL_recall item 5 is 0.123, but its own texts and losses give .* mixes two runs",
    ),
    "losses of another run": (
        _broken(tofu_log(), FORGET, "average_perturb_loss", "2", value=[9.0] * 5),
        "truth_ratio item 2 is .*, but its own texts and losses give",
    ),
    "no texts": (_broken(tofu_log(), FORGET, "generated_text", "0", value="hm"), "generated_text item 0 is no"),
    "OU: NaN": (
        _broken(open_unlearning_log(), "wf_Q_A_Prob", "value_by_index", "4", value={"avg_loss": NAN}),
        "wf_Q_A_Prob avg_loss item 4 is nan",
    ),
    "OU: an item missing": (
        _broken(open_unlearning_log(), "retain_Q_A_ROUGE", "value_by_index", "9"),
        "the retain set has .* item 9 is not in both",
    ),
    "OU: texts of another run": (
        _broken(open_unlearning_log(), "ra_Q_A_ROUGE", "value_by_index", "1", "rougeL_recall", value=0.123),
        "ra_Q_A_ROUGE rougeL_recall item 1 is 0.123",
    ),
    "OU: another benchmark": ({"forget_knowmem_ROUGE": {"agg_value": 0.3}}, "no metric of TOFU with items"),
    "OU: no table": (
        {"forget_Q_A_Prob": {"agg_value": 0.3, "value_by_index": [1]}},
        "forget_Q_A_Prob value_by_index is no table",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_log_is_named(write, case: str) -> None:
    log, message = CASES[case]
    with pytest.raises(UsageError, match=message) as caught:
        score_log(write(log, "theirs.json"))
    assert "theirs.json" in str(caught.value)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere.json cannot be read"):
        score_log(tmp_path / "nowhere.json")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="log.json cannot be read"):
        score_log(tmp_path / "log.json")


def test_a_reference_with_fewer_items(write) -> None:
    short = tofu_log(2)
    for table in short[FORGET].values():
        del table["11"]
    with pytest.raises(UsageError, match=r"retrain.json has 11 items of the forget set and log.json has 12.* item 11"):
        score_log(write(tofu_log()), write(short, "retrain.json"))


def test_a_reference_with_other_answers(write) -> None:
    """The same number of items, one answer another: another split of the same size."""
    other = tofu_log(2)
    question, said, _ = other[FORGET]["generated_text"]["4"]
    other[FORGET]["generated_text"]["4"] = [question, said, said]
    other[FORGET]["rougeL_recall"]["4"] = 1.0
    with pytest.raises(UsageError, match="retrain.json is of other items: the answer to forget/4 is"):
        score_log(write(tofu_log()), write(other, "retrain.json"))
