"""The documents of the lm-eval task `general_facts`: the embedded world's general facts, four options each."""

from __future__ import annotations

from typing import Any

import datasets

from tasks._embedded.facts import multiple_choice


def questions(**_: Any) -> dict[str, datasets.Dataset]:
    """A data set for lm-eval: prompt (with the lettered options), options, and the number of the right one."""
    found = [
        {"id": c.id, "prompt": c.prompt, "options": list(c.options), "answer": c.answer} for c in multiple_choice()
    ]
    return {"test": datasets.Dataset.from_list(found)}
