"""Losses of the correct and the wrong options to one value an item."""

from __future__ import annotations

import numpy as np

from bench.metrics._compat import EPSILON, Compat
from bench.metrics._tokens import share_of

Array = np.ndarray


def log_truth_ratio(correct: Array, wrong: Array, owner: Array, compat: Compat = "") -> Array:
    """log R = l_correct - mean_k l_wrong, with l the mean token loss of an option (Maini et al. 2024).

    R is the geometric mean of the wrong options' length-normalised probabilities over the correct one's: above 0 the
    model prefers what is false. In logs it neither underflows nor needs an epsilon.

    Args:
        correct: losses [n]. wrong: losses [m]. owner: the item of each wrong option, [m].
        compat: "open-unlearning" adds 1e-10 to the correct option's probability, which makes R of a collapsed model 0
            whatever its options are; "tofu-training" averages the wrong options' probabilities arithmetically, as the
            TOFU authors' evaluation during training does.
    """
    count = np.bincount(owner, minlength=len(correct))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if compat == "tofu-training":
            relative = np.bincount(owner, np.exp(correct[owner] - wrong), minlength=len(correct))
            return np.log(share_of(relative, count))
        wrong_mean = share_of(np.bincount(owner, wrong, minlength=len(correct)), count)
        if compat == "open-unlearning":
            return -wrong_mean - np.logaddexp(-correct, np.log(EPSILON))
    return correct - wrong_mean


def normalised_probability(correct: Array, wrong: Array, owner: Array, compat: Compat = "") -> Array:
    """p = c / (c + sum_k w_k) with c, w = exp(-loss): the share of the correct option, [n] (Maini et al. 2024).

    "open-unlearning" adds 1e-10 to the denominator, so that a collapsed model scores 0 instead of its preference.
    """
    count = np.bincount(owner, minlength=len(correct))
    with np.errstate(over="ignore"):
        rivals = np.bincount(owner, np.exp(correct[owner] - wrong), minlength=len(correct))
        epsilon = EPSILON * np.exp(correct) if compat == "open-unlearning" else 0.0
        return np.where(count > 0, 1 / (1 + rivals + epsilon), np.nan)


def ranked_first(correct: Array, wrong: Array, owner: Array) -> Array:
    """1 where the correct option's loss is below every wrong one's, 1/k where it is among k lowest that are equal, [n].

    So a model that finds all options alike has what guessing has. NaN without wrong options, or with a NaN among them.

    Args:
        correct: losses [n]. wrong: losses [m]. owner: the item of each wrong option, [m].
    """
    best = np.full(len(correct), np.inf)
    with np.errstate(invalid="ignore"):  # a NaN, which goes through
        np.minimum.at(best, owner, wrong)
    tied = np.bincount(owner, wrong == correct[owner], minlength=len(correct))
    scored = (np.bincount(owner, minlength=len(correct)) > 0) & ~np.isnan(best) & ~np.isnan(correct)
    return np.where(scored, np.where(correct <= best, 1 / (1 + tied), 0.0), np.nan)
