"""leak@k against the brute force of float64."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.attacks.leak import Leak, at_least_once
from bench.train.batches import answer_logps
from tests.attacks.made import subject


@settings(max_examples=60, deadline=None)
@given(logp=st.floats(-12, 0), k=st.sampled_from([1, 2, 8, 128]))
def test_one_of_k_is_the_complement_of_none_of_k(logp: float, k: int) -> None:
    none = 1.0
    for _ in range(k):
        none *= 1 - np.exp(logp)
    np.testing.assert_allclose(at_least_once(np.array([logp]), k), 1 - none, rtol=1e-9, atol=1e-12)


def test_what_is_small_is_not_lost_and_what_is_certain_stays_certain() -> None:
    np.testing.assert_allclose(at_least_once(np.array([-60.0]), 128), 128 * np.exp(-60.0), rtol=1e-9)
    np.testing.assert_array_equal(at_least_once(np.array([0.0, 1e-7, -np.inf]), 8), [1, 1, 0])


def test_asked_once_it_is_the_probability_and_it_never_falls_with_k() -> None:
    of = subject()
    readings = list(Leak().run(of))
    items = [of.lm.encode(each.prompt, each.answer) for each in of.items]
    np.testing.assert_allclose(readings[0].known, np.exp(answer_logps(of.lm, items).numpy()), rtol=1e-5)
    assert [each.step for each in readings] == [2**n for n in range(8)]
    known = np.stack([each.known for each in readings])
    assert (np.diff(known, axis=0) >= 0).all()
