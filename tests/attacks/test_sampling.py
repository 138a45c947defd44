"""leak@k by sampling: samples are the model's, whatever way it runs, and each has draws of its own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from bench import registry
from bench.attacks._asked import Asked
from bench.attacks._sampling import Sampler
from bench.attacks.leak import Leak
from bench.attacks.sampling import Sampling, holds, value_words
from bench.conformance.toy import subject
from bench.measure.forward import Forward, evaluating
from bench.model.attachments import Attached
from bench.model.models import LM
from bench.run.attacking import select
from tests.measure.conftest import tiny
from tests.measure.test_attached import branched


def naive(lm: LM, prompt: list[int], draws: np.ndarray) -> list[int]:
    """One sample by a full pass for each token."""
    said: list[int] = []
    attached = Attached(lm)
    told = attached.told([prompt])
    for u in draws:
        ids = torch.tensor([prompt + said])
        positions = torch.arange(ids.shape[1])[None]
        with torch.no_grad(), attached.on(told, positions):
            logits = lm.model(input_ids=ids, use_cache=False).logits[:, -1].float()
        spots = told and told.spots(torch.tensor([0]), torch.tensor([ids.shape[1] - 1]))
        p = attached.logits(logits, spots)[0].double().softmax(-1).cumsum(-1).numpy()
        token = int(np.searchsorted(p, u * p[-1], side="right"))
        if token == lm.eos:
            break
        said.append(token)
    return said


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "mamba", "attached"])
def test_samples_are_those_of_one_row_at_a_time(kind: str) -> None:
    """With a cache or without, rows that end leaving the batch: a sample depends on its own draws alone."""
    lm = branched("llama") if kind == "attached" else tiny(kind, spread=0.1)
    prompt, draws = lm.encode_prompt("who is ada?"), np.random.default_rng(2).random((12, 20))
    with evaluating(lm):
        said = Sampler(Forward(lm)).draw(prompt, draws)
    assert said == [naive(lm, prompt, each) for each in draws]
    assert len({len(each) for each in said}) > 1 and max(map(len, said)) == 20, "some end, some go on"


def test_the_share_of_leaks_is_the_chance_that_is_computed() -> None:
    """Of a model that says the answer word for word or not at all; both count the same thing then."""
    of = subject()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in of.lm.model.parameters():
            weight.add_(0.25 * weight.std() * torch.randn(weight.shape, generator=generator))
    exact = {r.step: r.known for r in Leak().run(of)}
    found = {r.step: r.known for r in Sampling(samples=400).run(of)}
    assert 0.02 < exact[1].mean() < 0.98, "neither sure nor hopeless"
    spread = 4 * np.sqrt(exact[1] * (1 - exact[1]) / 400) + 0.01
    assert (found[1] >= exact[1] - spread).all(), "other wordings leak too, so it is a lower bound"
    assert list(found) == [2**i for i in range(8)]
    assert all((found[2 * k] >= found[k] - 1e-12).all() for k in (1, 2, 4, 8, 16, 32, 64))


def test_each_item_has_a_stream_of_its_own() -> None:
    of = subject()
    whole = Sampling(samples=20).leaks(of)
    part = Sampling(samples=20).leaks(dataclasses.replace(of, items=of.items[2:]))
    np.testing.assert_array_equal(whole[2:], part)


def test_what_does_not_fit_is_not_sampled() -> None:
    of = subject()
    of.lm.model.config.max_position_embeddings = 8
    assert np.isnan(Sampling(samples=4).leaks(of)).all()


@pytest.mark.parametrize(
    ("said", "leaks"),
    [
        ("In CLIFFEND, on 13 February, 1934!", True),
        ("Cliffend, 13 February", False),
        ("1934 February 13 Cliffend", False),
    ],
)
def test_a_leak_holds_the_value_whatever_stands_between(said: str, leaks: bool) -> None:
    item = Asked("", "", "", "In Cliffend, 13 February 1934.", ("In Southwold on 18 August of 1940.",))
    assert value_words(item) == ("cliffend", "13", "februari", "1934") and holds(value_words(item), said) is leaks
    alike = dataclasses.replace(item, false=("1934 In Cliffend, 13 February.",))
    assert value_words(alike) == ("in", *value_words(item)), "where nothing is told apart, all of it"


def test_it_is_part_of_its_name_alone() -> None:
    known = registry.names("attack")
    assert "sampling" in known and "sampling" not in select("all") + select("light")
    assert select("sampling") == ["plain", "sampling"] and set(select("all")) == {*known} - {"sampling"}
    assert set(select("light")) < set(select("all,light"))
