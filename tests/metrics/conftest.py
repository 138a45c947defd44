"""A builder of rows from a few plain items, for the metric tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.api import Ragged, Rows

Item = Mapping[str, Any]


def build_rows(items: Sequence[Item]) -> Rows:
    """Rows of items such as
    {"set", "id", "answer": TEXT, "paraphrase": TEXT, "perturbed": [TEXT], "question": [reference, generation],
     "paraphrased_question", "completion", "shots": [reference, generation], "exam": score,
     "true", "false", "other": TEXT or [TEXT]},
     TEXT = {"text", "logp", "hit", "mean", "var"}, all optional.
    """
    texts: list[tuple[Any, ...]] = []
    tokens: list[Mapping[str, Any]] = []
    generations: list[tuple[Any, ...]] = []
    for item in items:
        key = (item["set"], item["id"], item.get("cluster", item["id"]))
        for role in ("answer", "paraphrase", "perturbed", "document", "true", "false", "other"):
            given = item.get(role, [])
            for index, text in enumerate([given] if isinstance(given, Mapping) else given):
                texts.append((*key, role, index, text.get("text", "")))
                tokens.append(text)
        for role in ("question", "paraphrased_question", "completion", "shots"):
            if role in item:
                generations.append((*key, role, *item[role], True, np.nan))
        if "exam" in item:
            generations.append((*key, "exam", "A", "A" if item["exam"] else "B", True, float(item["exam"])))

    def ragged(field: str, default: float, dtype: type) -> Ragged:
        lengths = [len(t["logp"]) for t in tokens]
        values = [t.get(field, [default] * len(t["logp"])) for t in tokens]
        flat = np.array([v for text in values for v in text], dtype=dtype)
        return Ragged(flat, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    return Rows(
        texts=pd.DataFrame(texts, columns=["set", "id", "cluster", "role", "index", "continuation"]),
        logp=ragged("logp", 0.0, np.float32),
        hit=ragged("hit", 0, bool),
        mean=ragged("mean", 0.0, np.float32),
        var=ragged("var", 1.0, np.float32),
        generations=pd.DataFrame(
            generations, columns=["set", "id", "cluster", "role", "reference", "generation", "finished", "score"]
        ),
    )


def random_items(seed: int, n: int = 12, shift: float = 0.0) -> list[dict[str, Any]]:
    """Items of all sets of TOFU and LUME with random values; `shift` raises every loss."""
    rng = np.random.default_rng(seed)
    vocabulary = ["the", "author", "was", "born", "in", "Lima", "wrote", "nine", "novels", "since", "1956"]

    def text() -> dict[str, Any]:
        m = int(rng.integers(2, 9))
        return {
            "text": " ".join(rng.choice(vocabulary, size=m)),
            "logp": (-rng.exponential(1 + shift, size=m)).tolist(),
            "hit": rng.integers(0, 2, size=m).tolist(),
            "mean": (-2 - rng.random(m)).tolist(),
            "var": (0.5 + rng.random(m)).tolist(),
        }

    made = []
    for name in ("forget", "retain", "real_authors", "world_facts", "holdout"):
        for i in range(n):
            item = {"set": name, "id": f"{name}-{i:03d}", "cluster": f"{name}-{i // 4}", "answer": text()}
            if name != "holdout":
                item["perturbed"] = [text() for _ in range(3)]
                item["question"] = [item["answer"]["text"], text()["text"]]
            if name in ("forget", "retain"):
                item["paraphrase"] = text()
                item["paraphrased_question"] = [item["answer"]["text"], text()["text"]]
            made.append(item)
    for side in ("forget", "retain"):
        for task in (1, 2, 3):
            for i in range(n):
                place = {"id": f"{side}{task}-{i:03d}", "cluster": f"{side}{task}-{i // 4}"}
                said, other = text()["text"], text()["text"]
                made.append({"set": f"{side}{task}-completion", **place, "completion": [said, other]})
                made.append({"set": f"{side}{task}-question", **place, "question": [said, said if i % 3 else other]})
    for name in ("member", "nonmember"):
        made += [{"set": name, "id": f"{name}-{i}", "document": text()} for i in range(n)]
    for item in [item for item in made if item["set"] in ("forget", "retain")]:
        item["completion"] = [text()["text"], text()["text"]]
        place = {"set": f"{item['set']}_qa", "id": item["id"], "cluster": item["cluster"]}
        made.append({**place, "question": [text()["text"], text()["text"]]})
    made += [{"set": "general", "id": f"general-{i}", "exam": int(i % 4 > 0)} for i in range(n)]
    for item in made:
        if item["set"] == "forget":
            item |= {"true": [text()], "false": text(), "other": [text() for _ in range(3)]}
            item["shots"] = [item["true"][0]["text"], text()["text"]]
    for name in ("earlier", "later"):
        made += [{"set": name, "id": f"{name}-{i}", "cluster": f"{name}-{i // 4}", "answer": text()} for i in range(n)]
    for name in ("untouched", "neighbour", "diluting"):
        for i in range(n):
            about = {"true": [text(), text()], "false": text(), "other": [text() for _ in range(3)]}
            about["shots"] = [about["true"][0]["text"], text()["text"]]
            made.append({"set": name, "id": f"{name}-{i}", "cluster": f"{name}-{i // 4}", **about})
    return made


@pytest.fixture(scope="session")
def rows_of() -> Callable[[Sequence[Item]], Rows]:
    """`build_rows`."""
    return build_rows


@pytest.fixture(scope="session")
def some_items() -> Callable[..., list[dict[str, Any]]]:
    """`random_items`."""
    return random_items
