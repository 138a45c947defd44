"""Logs as TOFU and open-unlearning write them: read alike, scored by the right formulas, refused when broken."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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


FORGET = "eval_log_forget.json"


def _broken(log: dict[str, Any], *where: str, value: Any = ...) -> dict[str, Any]:
    """A copy with one place changed, or taken out."""
    made = copy.deepcopy(log)
    table = made
    for key in where[:-1]:
        table = table[key]
    if value is ...:
        del table[where[-1]]
    else:
        table[where[-1]] = value
    return made


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


LACKS = "carry open-unlearning's 1e-10: the log lacks losses that they are made of"
CARRIED_RATIOS = f"truth ratios of forget {LACKS}"


def test_a_log_without_option_losses_says_what_its_ratios_carry(write) -> None:
    log = open_unlearning_log()
    whole, path = score_log(write(log)), write(_broken(log, "forget_Q_A_PERT_Prob"), "less.json")
    found = score_log(path)
    assert found["truth_ratio"].value == pytest.approx(whole["truth_ratio"].value, rel=1e-7)
    assert (whole["truth_ratio"].note, found["truth_ratio"].note) == ("", CARRIED_RATIOS)
    assert found["forget_quality"].value is None and "1e-10" not in found["forget_quality"].note
    assert set(read_log(path).meta["carried"]) == {("forget", "log_truth_ratio"), ("forget", "extraction_strength")}
    assert CARRIED_RATIOS in read_log(path).meta["notes"]


def test_a_comparison_also_says_what_the_reference_carries(write) -> None:
    log = _broken(open_unlearning_log(), "extraction_strength", "value_by_index", "0", "score", value=None)
    less = _broken(open_unlearning_log(2), "forget_Q_A_PERT_Prob")
    scores = score_log(write(log), write(less, "retrain.json"))
    assert scores["forget_quality"].note == CARRIED_RATIOS and scores["truth_ratio"].note == ""
    assert re.fullmatch(
        "1 unscored; extraction strength carries open-unlearning's 1/m: .* if not even the last is right, and 0 here; "
        "--compat open-unlearning gives our own cells the same",
        scores["extraction_strength"].note,
    )


def test_without_any_option_losses_the_logs_own_ratios_and_shares_are_taken(write) -> None:
    log = open_unlearning_log()
    less = {metric: section for metric, section in log.items() if "PERT" not in metric}
    whole, found = score_log(write(log)), score_log(write(less, "less.json"))
    of_options = [f"{s}_{m}" for s in ("ra", "wf") for m in ("probability", "truth_ratio")]
    for name in ("truth_ratio", "retain_truth_ratio", "model_utility", *of_options):
        assert found[name].value == pytest.approx(whole[name].value, rel=1e-7), name
    assert found["truth_ratio"].note == CARRIED_RATIOS
    assert found["ra_probability"].note == f"probabilities of real_authors {LACKS}"
    assert LACKS in found["model_utility"].note and found["rouge"].note == ""


def test_the_share_of_a_model_that_knows_nothing_is_its_logs_and_says_so(write) -> None:
    """Four options of loss 40 are alike: 1/4 each; 1e-10 in the denominator makes next to nothing of it."""
    log = open_unlearning_log()
    share = np.exp(-40) / (4 * np.exp(-40) + 1e-10)
    for metric, field in (("Prob", "avg_loss"), ("PERT_Prob", "avg_loss"), ("Prob_normalised", "prob")):
        for entry in log[f"ra_Q_A_{metric}"]["value_by_index"].values():
            entry[field] = {"Prob": 40.0, "PERT_Prob": [40.0] * 3, "Prob_normalised": share}[metric]
    whole = score_log(write(log))["ra_probability"]
    less = score_log(write(_broken(log, "ra_Q_A_PERT_Prob"), "less.json"))["ra_probability"]
    assert (whole.value, whole.note) == (pytest.approx(1 / 4), "")
    assert (less.value, less.note) == (pytest.approx(share), f"probabilities of real_authors {LACKS}")


def test_without_a_paraphrase_the_options_have_nothing_to_be_held_against(write) -> None:
    """The stated ratio stays: the loss of the answer as trained on is not that of its paraphrase."""
    log = open_unlearning_log()
    whole, less = score_log(write(log)), score_log(write(_broken(log, "forget_Q_A_PARA_Prob"), "less.json"))
    assert less["truth_ratio"].value == pytest.approx(whole["truth_ratio"].value, rel=1e-7)
    assert (whole["truth_ratio"].note, less["truth_ratio"].note) == ("", CARRIED_RATIOS)
    bare = _broken(_broken(log, "forget_Q_A_PARA_Prob"), "forget_truth_ratio")
    assert score_log(write(bare, "bare.json"))["truth_ratio"].value is None


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_ratio_too_small_to_be_stated_is_taken(write) -> None:
    """exp(loss - 200) is 0 in float32, which the harnesses compute in."""
    log = tofu_log()
    log[FORGET]["average_perturb_loss"]["2"], log[FORGET]["truth_ratio"]["2"] = [200.0] * 5, 0.0
    items = read_log(write(log)).items
    expected = log[FORGET]["avg_paraphrased_loss"]["2"] - 200
    assert items.log_truth_ratio[(items["set"] == "forget") & (items.id == "2")].item() == pytest.approx(expected)
    other = _broken(open_unlearning_log(), "forget_Q_A_PERT_Prob")
    other["forget_truth_ratio"]["value_by_index"]["2"]["score"] = 0.0
    ratios = [entry["score"] for entry in other["forget_truth_ratio"]["value_by_index"].values()]
    closeness = [min(r, 1 / r) if r else 0 for r in ratios]
    assert score_log(write(other))["truth_ratio"].value == pytest.approx(np.mean(closeness), rel=1e-12)


@pytest.mark.parametrize("compat", ["tofu", "open-unlearning"])
def test_an_answer_without_words_is_unscored_and_0_under_their_names(write, compat: str) -> None:
    if compat == "tofu":
        log = tofu_log()
        recalls = log[FORGET]["rougeL_recall"]
        recalls["4"], log[FORGET]["generated_text"]["4"][2] = 0.0, "?!"
    else:
        log = open_unlearning_log()
        table = log["forget_Q_A_ROUGE"]["value_by_index"]
        table["4"] |= {"rougeL_recall": 0.0, "ground_truth": "?!"}
        recalls = {i: entry["rougeL_recall"] for i, entry in table.items()}
    items = read_log(write(log)).items
    assert np.isnan(items.rouge[(items["set"] == "forget") & (items.id == "4")].item())
    plain, theirs = (score_log(write(log), compat=name)["rouge"] for name in ("", compat))
    assert plain.value == pytest.approx(sum(recalls.values()) / 11) and (plain.n, plain.note) == (11, "1 unscored")
    assert theirs.value == pytest.approx(sum(recalls.values()) / 12) and theirs.n == 12


def test_a_reference_is_read_under_the_same_name(write) -> None:
    """TOFU's evaluation during training averages the wrong options' probabilities, not their losses, in both models."""
    logs = tofu_log(1), tofu_log(3)

    def ratios(log: dict[str, Any], wrong: Callable[[list[float]], float]) -> list[float]:
        table = log[FORGET]
        return [wrong(table["average_perturb_loss"][i]) / np.exp(-v) for i, v in table["avg_paraphrased_loss"].items()]

    here, there = (ratios(log, lambda losses: np.exp(-np.array(losses)).mean()) for log in logs)
    expected = ks_2samp(here, there).pvalue
    assert expected != pytest.approx(ks_2samp(here, ratios(logs[1], lambda losses: np.exp(-np.mean(losses)))).pvalue)
    found = score_log(write(logs[0]), write(logs[1], "retrain.json"), compat="tofu-training")["forget_quality"]
    assert found.value == pytest.approx(expected, rel=1e-9)


def test_a_reference_may_lack_a_set_that_is_not_compared(write) -> None:
    """TOFU's own logs have no holdout."""
    log = write(open_unlearning_log())
    theirs, tofus = (score_log(log, write(make(2), "retrain.json")) for make in (open_unlearning_log, tofu_log))
    assert tofus["forget_quality"].value == pytest.approx(theirs["forget_quality"].value, rel=1e-12)
    assert theirs["privleak"].value is not None and tofus["privleak"].value is None


def test_each_set_has_the_columns_of_an_item_table(write) -> None:
    answers = {"loss", "rouge", "log_truth_ratio"}
    general = answers | {"correct", "normalised_probability"}
    columns = {"forget": answers, "retain": answers, "real_authors": general, "world_facts": general}
    tokens = {"exact_memorisation", "extraction_strength", "min_k"}
    theirs = {**columns, "forget": answers | tokens, "holdout": {"loss", "min_k"}}
    for log, expected in ((tofu_log(), columns), (open_unlearning_log(), theirs)):
        groups = read_log(write(log)).items.groupby("set")
        found = {name: {*group.dropna(axis=1, how="all")} - {"set", "id", "cluster"} for name, group in groups}
        assert found == expected


def test_a_log_is_read_into_one_table_of_items_and_one_of_texts(write) -> None:
    for log, name in ((tofu_log(), "tofu"), (open_unlearning_log(), "open-unlearning")):
        found = read_log(write(log))
        assert found.format == name and found.items.index.tolist() == list(range(len(found.items)))
        assert found.generations.columns.tolist() == ["set", "id", "question", "reference", "generation"]


def test_under_open_unlearnings_name_nothing_is_carried_that_is_not_theirs(write) -> None:
    path = write(_broken(open_unlearning_log(), "forget_Q_A_PERT_Prob"))
    assert read_log(path).meta["carried"] and not read_log(path, "open-unlearning").meta["carried"]


def test_whole_numbers_are_read_as_floats(write) -> None:
    losses = {"0": {"avg_loss": 1}, "1": {"avg_loss": 2}}
    path = write({"forget_Q_A_Prob": {"agg_value": 0.2, "value_by_index": losses}})
    assert read_log(path).items["loss"].dtype == np.float64
    assert score_log(path)["probability"].value == pytest.approx((np.exp(-1) + np.exp(-2)) / 2)


@pytest.mark.parametrize(
    "where",
    [("truth_ratio",), ("truth_ratio", "3"), ("gt_loss",), ("gt_loss", "3"), ("num_token_gt",), ("num_token_gt", "3")],
    ids=" ".join,
)
def test_what_only_confirms_may_be_missing(write, where: tuple[str, ...]) -> None:
    whole = read_log(write(tofu_log())).items
    pd.testing.assert_frame_equal(read_log(write(_broken(tofu_log(), FORGET, *where))).items, whole)


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


def _summed(kind: str, total: Any, count: Any) -> dict[str, Any]:
    """TOFU's log with the summed losses of forget item 2 alone."""
    log = _broken(tofu_log(), FORGET, f"{kind}_loss", value={"2": total})
    return _broken(log, FORGET, f"num_token_{kind}", value={"2": count})


NAN, INF = float("nan"), float("inf")
OPTIONS = tofu_log()[FORGET]["average_perturb_loss"]["2"]
CASES = {
    "cut off": (json.dumps(tofu_log())[:2000], r"no complete JSON .*; it may have been cut off\. Fetch it again\.$"),
    "a list": ([1, 2], r"neither TOFU's aggregated log nor .* It holds list\.$"),
    "something else": ({key: {} for key in "abcde"}, r"It holds 'a', 'b', 'c', 'd'\.$"),
    "summary": (
        {"forget_quality": 0.1, "model_utility": 0.6},
        r"json\. It looks like a summary .*; give TOFU_EVAL.json, not TOFU_SUMMARY.json\.$",
    ),
    "one section": (
        tofu_log()[FORGET],
        r"json\. It is the log of one set; .*\(eval_log_aggregated.json\)\.$",
    ),
    "sections missing": (
        _broken(_broken(tofu_log(), FORGET), "eval_log.json"),
        r"lacks eval_log.json, eval_log_forget.json\. Give",
    ),
    "a field missing": (_broken(tofu_log(), FORGET, "avg_gt_loss"), "has no field 'avg_gt_loss'"),
    "an item missing": (
        _broken(tofu_log(), FORGET, "avg_gt_loss", "3"),
        "forget.json has 11 items in avg_gt_loss and 12 .* item 3 is not in both. The log mixes two runs",
    ),
    "NaN": (_broken(tofu_log(), FORGET, "avg_gt_loss", "3", value=NAN), "avg_gt_loss item 3 is nan, no finite number"),
    "null": (
        _broken(tofu_log(), FORGET, "avg_gt_loss", "3", value=None),
        r"avg_gt_loss item 3 is None, no .* or take the item out of every field if it cannot be scored\.$",
    ),
    "NaN that only confirms": (
        _broken(tofu_log(), FORGET, "truth_ratio", "3", value=NAN),
        "forget.json truth_ratio item 3 is nan, no finite number",
    ),
    "NaN beside texts": (
        _broken(tofu_log(), FORGET, "rougeL_recall", "3", value=NAN),
        "forget.json rougeL_recall item 3 is nan, no finite number",
    ),
    "infinite option": (
        _broken(tofu_log(), "eval_log.json", "average_perturb_loss", "7", value=[1.0, INF]),
        r"eval_log.json average_perturb_loss item 7 is \[1.0, inf\]",
    ),
    "no numbers": (_broken(tofu_log(), FORGET, "avg_gt_loss", value={}), "has 0 items in avg_gt_loss and 12"),
    "no items": (
        tofu_log() | {FORGET: {field: {} for field in tofu_log()[FORGET]}},
        "forget.json has no items. Give a finished log",
    ),
    "texts of another run": (
        _broken(tofu_log(), FORGET, "rougeL_recall", "5", value=0.123),
        "rougeL_recall item 5 is 0.123, but its own texts and losses give .* mixes two runs",
    ),
    "losses of another run": (
        _broken(tofu_log(), FORGET, "average_perturb_loss", "2", value=[9.0] * 5),
        "truth_ratio item 2 is .*, but its own texts and losses give",
    ),
    "sums of another run": (
        _summed("perturb", [36.0] * 5, [4] * 5),
        "average_perturb_loss item 2 is .*, but its own texts and losses give 9. The log mixes two runs",
    ),
    "the last option without its sum": (
        _summed("perturb", [4 * loss for loss in OPTIONS[:-1]], [4] * 4),
        r"no log as TOFU or open-unlearning write it \(ValueError: .*\)\. Give it as it was written\.$",
    ),
    "a loss of no tokens": (_summed("gt", 4.0, 0), "avg_gt_loss item 2 is .* losses give inf"),
    "no loss of no tokens": (_summed("gt", 0.0, 0), "avg_gt_loss item 2 is .* losses give nan"),
    "no texts": (_broken(tofu_log(), FORGET, "generated_text", "0", value="hm"), "generated_text item 0 is no"),
    "texts without a reference": (
        _broken(tofu_log(), FORGET, "generated_text", "0", value=["question?", "answer"]),
        r"generated_text item 0 is no \(question, answer, reference\)",
    ),
    "OU: NaN": (
        _broken(open_unlearning_log(), "wf_Q_A_Prob", "value_by_index", "4", value={"avg_loss": NAN}),
        "wf_Q_A_Prob avg_loss item 4 is nan",
    ),
    "OU: NaN after an unscored item": (
        _broken(open_unlearning_log(), "exact_memorization", "value_by_index", "4", value={"score": NAN}),
        "exact_memorization score item 4 is nan, no finite number",
    ),
    "OU: an item missing": (
        _broken(open_unlearning_log(), "retain_Q_A_ROUGE", "value_by_index", "9"),
        "the retain set has .* item 9 is not in both",
    ),
    "OU: texts of another run": (
        _broken(open_unlearning_log(), "ra_Q_A_ROUGE", "value_by_index", "1", "rougeL_recall", value=0.123),
        "ra_Q_A_ROUGE rougeL_recall item 1 is 0.123",
    ),
    "OU: another benchmark": (
        {name: {"agg_value": 0.3} for name in ("forget_knowmem_ROUGE", "b", "c", "d", "e", "f")},
        r"no metric of TOFU with items, only forget_knowmem_ROUGE, b, c, d, e\.$",
    ),
    "no table of ratios": (_broken(tofu_log(), FORGET, "truth_ratio", value=[1.0]), "truth_ratio is no table of items"),
    "OU: no table": (
        {"forget_Q_A_Prob": {"agg_value": 0.3, "value_by_index": [1]}},
        "forget_Q_A_Prob value_by_index is no table",
    ),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
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


def test_a_log_that_is_nested_too_deep_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match=r"log.json cannot be taken: .*\. Give the log as it was written\.$"):
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
