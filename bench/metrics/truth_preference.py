"""Truth preference of the forget set: the share of an item's probability that the true answer gets.

After the truth ratio of Maini et al. 2024 (TOFU), arXiv:2401.06121; the form C / (C + W) is open-unlearning's.
"""

from typing import ClassVar

import numpy as np
from scipy.special import expit

from bench.api import metric
from bench.metrics._forms import Mean


@metric("truth_preference")
class TruthPreference(Mean):
    """Mean of C / (C + W) = 1 / (1 + R): 1 where only the paraphrased truth is likely, 0 where only false answers are.

    Unlike min(R, 1/R) it goes on falling when a model prefers what is false, so that forgetting too much does not look
    like knowing.
    """

    goal: ClassVar = "minimise"
    title: ClassVar = "truth preference"
    needs: ClassVar = (("forget", "log_truth_ratio"),)

    def value(self, x: np.ndarray) -> np.ndarray:
        """1 / (1 + exp(log R))."""
        return np.asarray(expit(-x))
