"""Every family of decoders, saved and loaded as a hub model is: scored, asked and unlearned as by its plain forward."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api import Pair, Probes, Prompt, Splits, Text
from bench.conformance import of_method
from bench.conformance import toy as toys
from bench.contracts import Context
from bench.errors import BenchError
from bench.keys import stream
from bench.measure.one_pass import measure
from bench.model import checkpoint, models
from bench.model.models import LM
from bench.train.alternatives import alternatives
from bench.train.batches import collate, label_logps
from tests.conformance.test_registered import GRADIENT
from tests.measure.conftest import naive_greedy, naive_scores
from tests.pretrained.conftest import SHAPES, TEXTS, save

REFUSED = {
    "granite": "differ from the definition",  # its head scales logits
    "cohere": "differ from the definition",
    "mixtral": "has no recognisable down-projection",
    "mamba": "has no recognisable down-projection",
}
"""What SIMU cannot be run on, with what it says; RMU needs to know the layers' projections as well."""
ASKED = ["Where was author 3 born?", "Where was author 17 born, and when?", "Who?"]
ANSWERS = ["Arden 3", "Arden 3 or 4", "nobody"]
CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% if m['role'] == 'assistant' %}"
    "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)
ASKING = ("fo-rmu", "fo-undial", "fo-dpo", "wagle-npo")
"""Methods that ask more of a model than log-probabilities: states, logits, other answers, masks. Tried on all."""
OTHERS = [name for name in GRADIENT if name not in ("so-graddiff", "simu-npo", *ASKING)]
DEALT = [(family, OTHERS[(2 * turn + more) % len(OTHERS)]) for turn, family in enumerate(SHAPES) for more in (0, 1)]
"""Each family with two of the others, which see log-probabilities alone, and each of these with one family or more."""
VARIANTS: dict[str, dict[str, bool]] = {
    "as it is": {},
    "no pad": {"pad": False},
    "bos": {"bos": True},
    "chat": {"pad": False, "bos": True, "chat": True},
}
Load = Callable[..., LM]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """`loaded(family, pad, bos, chat)` is a model that was saved, checked and loaded; do not touch it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("families")

    @cache
    def load(family: str, pad: bool = True, bos: bool = False, chat: bool = False) -> LM:
        tokenizer = models.train_tokenizer(TEXTS, 300)
        if bos:
            tokenizer.add_special_tokens({"bos_token": "<s>"})
        if not pad:
            tokenizer.pad_token = None
        where = save(folder / f"{family}{pad}{bos}{chat}", family, tokenizer, CHAT if chat else None)
        checkpoint.check(where)
        return models.load(where)

    return load


family = pytest.mark.parametrize("family", SHAPES)
variant = pytest.mark.parametrize(
    "variant", [pytest.param(v, marks=[] if v in ("as it is", "chat") else pytest.mark.slow) for v in VARIANTS]
)


def differ(found: torch.Tensor | np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of log-probabilities."""
    return float(np.abs(np.asarray(found) - expected).max())


@family
@variant
def test_labels_are_scored_as_by_one_whole_pass_a_text(family: str, variant: str, loaded: Load) -> None:
    """In training's padded batch, where positions beyond a text's end are filler."""
    lm = loaded(family, **VARIANTS[variant])
    pairs = list(itertools.product(ASKED, ANSWERS))
    labels = label_logps(lm.model, collate([lm.encode(*pair) for pair in pairs], lm.pad))
    whole = [naive_scores(lm, *pair)[0] for pair in pairs]
    for row, mask, expected in zip(labels.logp.detach(), labels.mask, whole, strict=True):
        assert differ(row[mask], expected) < 1e-4
    assert np.concatenate(whole).std() > 0.2  # far from uniform, where any model would do


@family
@variant
def test_what_is_measured_is_what_the_model_says(family: str, variant: str, loaded: Load) -> None:
    """Log-probabilities, hits and moments by one pass a text, and greedy answers token by token without a cache."""
    lm = loaded(family, **VARIANTS[variant])
    asked = [(*pair, False) for pair in itertools.product(ASKED, ANSWERS)]
    asked += [("author", " 3 born", True), ("author", " 17 born, and when?", True)]  # a padded batch without a mask
    texts = tuple(Text("f", str(i), "0", "answer", *text[:2], raw=text[2]) for i, text in enumerate(asked))
    prompts = tuple(Prompt("f", str(i), "0", "question", question, "x", 12) for i, question in enumerate(ASKED))
    rows = measure(lm, Probes(texts, prompts))
    for (first, last), text in zip(itertools.pairwise(rows.logp.offsets), asked, strict=True):
        logp, hit, mean, var = naive_scores(lm, *text)
        assert differ(rows.logp.flat[first:last], logp) < 1e-4
        assert rows.hit.flat[first:last].tolist() == hit.tolist()
        assert differ(rows.mean.flat[first:last], mean) < 1e-4
        assert np.allclose(rows.var.flat[first:last], var, rtol=1e-3, atol=1e-4)
    said = [naive_greedy(lm, prompt.prompt, 12) for prompt in prompts]
    assert rows.generations["generation"].tolist() == [lm.decode(new) for new, _ in said]
    assert rows.generations["finished"].tolist() == [finished for _, finished in said]


def unlearned(family: str, name: str, loaded: Load, folder: Path, **variant: bool) -> None:
    """Two steps of a method: every number finite, weights moved, only those of its scope, and saved as they are."""
    lm = copy.deepcopy(loaded(family, **variant))
    pairs = [tuple(Pair(asked, answer) for asked in ASKED) for answer in ANSWERS[:2]]
    forget, retain = ([lm.encode(p.prompt, p.answer) for p in half] for half in pairs)
    data = Splits((), (), forget=pairs[0], retain=pairs[1], probes=Probes((), ()), corpus=())
    given = Context(
        lm, forget, retain, "toy", 0, folder / "cache", lambda *_: None,
        alternatives=lambda kind: alternatives(lm, data, kind, partial(stream, "toy", 0)),
    )  # fmt: skip
    toy = toys.run(name, folder, given, {"epochs": "1", "batch_size": "2"})
    assert len(toy.curve.lines) == 2
    of_method.stays_finite(name, toy)
    of_method.keeps_to_its_scope(name, toy)
    assert toy.selection
    for key, kept in toy.selection.items():
        before, after = (lm.model.get_parameter(key) for lm in (toy.before, toy.after))
        if "vision" in key or "multi_modal" in key:
            assert torch.equal(before, after), f"{key} sees no picture here, and has moved"
        elif before.ndim > 1 and (kept is None or len(kept)):
            assert not torch.equal(before, after), f"{key} has not moved"
    of_method.can_be_saved(name, toy, folder / "saved")


@family
@pytest.mark.parametrize("name", ["so-graddiff", "simu-npo"])
def test_methods_of_both_orders_and_scopes(family: str, name: str, loaded: Load, tmp_path: Path) -> None:
    tried(family, name, loaded, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), [*itertools.product(SHAPES, ASKING), *DEALT])
def test_every_method(family: str, name: str, loaded: Load, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if (family, name) == ("mamba", "wagle-npo"):
        why = "Mamba reads dt_proj.weight past its module's forward, so single weights of it do not train"
        request.applymarker(pytest.mark.xfail(reason=why, strict=True, raises=AssertionError))
    tried(family, name, loaded, tmp_path, pad=False, bos=True, chat=True)


def tried(family: str, name: str, loaded: Load, folder: Path, **variant: bool) -> None:
    """The method works, or it says in one line why it cannot."""
    if family in REFUSED and (name.startswith("simu") or (name == "fo-rmu" and "down" in REFUSED[family])):
        with pytest.raises(BenchError, match=f"^[^\n]*{REFUSED[family]}[^\n]*$"):
            unlearned(family, name, loaded, folder, **variant)
    else:
        unlearned(family, name, loaded, folder, **variant)
