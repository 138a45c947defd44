"""open-unlearning's aggregate of memorisation, privacy, utility. Dorna et al. 2025, arXiv:2506.12618, appendix F.1."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from bench.api import metric
from bench.metrics._forms import Beside, Form, harmonic_mean
from bench.metrics.exact_memorisation import ExactMemorisation
from bench.metrics.extraction_strength import ExtractionStrength
from bench.metrics.mia_auc import MiaLoss
from bench.metrics.mia_min_k import MiaMinK
from bench.metrics.mia_min_k_plus_plus import MiaMinKPlusPlus
from bench.metrics.mia_zlib import MiaZlib
from bench.metrics.model_utility import ModelUtility
from bench.metrics.paraphrase_probability import ParaphraseProbability
from bench.metrics.truth_preference import TruthPreference

Array = np.ndarray
MEMORY: tuple[type[Form], ...] = (ExtractionStrength, ExactMemorisation, ParaphraseProbability, TruthPreference)
ATTACKS: tuple[type[Form], ...] = (MiaLoss, MiaZlib, MiaMinK, MiaMinKPlusPlus)


@metric("ou_aggregate")
class OuAggregate(Beside):
    """Harmonic mean of memorisation, privacy and utility, as theirs; neither retrain nor any other model need reach 1.

    Memorisation is the harmonic mean of 1 - ES, 1 - EM, 1 - P(paraphrase), 1 - C/(C + W), not scaled by the target's,
    the form whose numbers on their published models are known. Privacy is that of four attacks' `closeness`. Utility
    is model utility over the retrain model's: they divide by the target's, which a metric does not see, and join a
    classifier's fluency, which is not measured here.
    """

    title: ClassVar = "open-unlearning aggregate"
    parts: ClassVar = (*MEMORY, *ATTACKS, ModelUtility)
    needs: ClassVar = tuple(dict.fromkeys(need for part in parts for need in part.needs))

    def join(self, own: Mapping[type[Form], Array], retrain: Mapping[type[Form], Array]) -> Array:
        """At least 0; 0 where one part is. NaN where retrain has no utility or an attack's AUC is 0."""
        against = np.where(retrain[ModelUtility] > 0, retrain[ModelUtility], np.nan)
        return harmonic_mean([memorisation(own), privacy(own, retrain), own[ModelUtility] / against])


def memorisation(own: Mapping[type[Form], Array]) -> Array:
    """HM(1 - ES, 1 - EM, 1 - P(paraphrase), 1 - C/(C + W))."""
    return harmonic_mean([1 - own[part] for part in MEMORY])


def privacy(own: Mapping[type[Form], Array], retrain: Mapping[type[Form], Array]) -> Array:
    """Harmonic mean of the four attacks' closeness to retrain's."""
    return harmonic_mean([closeness(own[attack], retrain[attack]) for attack in ATTACKS])


def closeness(auc: Array, retrain: Array) -> Array:
    """clip(1 - |AUC - AUC_retrain| / AUC_retrain, 0, 1): 0 from twice retrain's on (Lee et al. 2026, 2605.24614)."""
    return np.clip(1 - np.abs(auc - retrain) / np.where(retrain > 0, retrain, np.nan), 0, 1)
