"""From rows to item values: every per-item statistic is defined here, once, and computed once for all metrics.

An item is known by (set, id). NaN is an item that could not be scored: an answer without a word or a token, a loss that
is no finite number, an option that is missing. Nothing here turns that into a number, except under `compat`.
"""

from __future__ import annotations

import dataclasses
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from bench.api import Ragged, Rows
from bench.metrics import _candidates
from bench.metrics._compat import Compat
from bench.metrics._options import log_truth_ratio, normalised_probability, ranked_first
from bench.metrics._said import answer_of, contains, nearest_is_true, rouge_f1, rouge_recall
from bench.metrics._tokens import lowest_mean, matched_suffix, mean_of, without_last

Array = np.ndarray
GENERAL = ("real_authors", "world_facts")  # sets without paraphrases: the answer itself is the correct option


@dataclass(frozen=True)
class Items(Rows):
    """Rows with their item columns, each computed when first asked for; every column is indexed by (set, id)."""

    compat: Compat = ""

    @classmethod
    def of(cls, rows: Rows, compat: Compat = "") -> Items:
        """`rows` itself where it has its columns already."""
        if isinstance(rows, cls) and rows.compat == compat:
            return rows
        return cls(**{f.name: getattr(rows, f.name) for f in dataclasses.fields(Rows)}, compat=compat)

    @cached_property
    def loss(self) -> pd.Series:
        """Mean negative log-probability of the answer's tokens and the end of sequence; probability is exp(-loss)."""
        return self._of_role("answer", self._text_loss)

    @cached_property
    def paraphrase_loss(self) -> pd.Series:
        """The same of the answer's first paraphrase."""
        return self._of_role("paraphrase", self._text_loss)

    @cached_property
    def log_truth_ratio(self) -> pd.Series:
        """See `log_truth_ratio`; the correct option is the paraphrase, or the answer in sets without paraphrases."""
        paraphrase = self.paraphrase_loss
        general = self.loss.index.isin(GENERAL, level=0)
        correct = pd.concat([self.loss[general], paraphrase[~paraphrase.index.isin(GENERAL, level=0)]])
        wrong, owner = self._wrong(correct.index)
        return pd.Series(log_truth_ratio(correct.to_numpy(), wrong, owner, self.compat), correct.index)

    @cached_property
    def normalised_probability(self) -> pd.Series:
        """See `normalised_probability`."""
        wrong, owner = self._wrong(self.loss.index)
        return pd.Series(normalised_probability(self.loss.to_numpy(), wrong, owner, self.compat), self.loss.index)

    @cached_property
    def ranked_first(self) -> pd.Series:
        """See `ranked_first`; the correct option is the answer, in the wording of the wrong ones."""
        wrong, owner = self._wrong(self.loss.index)
        return pd.Series(ranked_first(self.loss.to_numpy(), wrong, owner), self.loss.index)

    @cached_property
    def rouge(self) -> pd.Series:
        """ROUGE-L recall of the answer to the question."""
        asked = self._generations("question")
        values = map(rouge_recall, asked.reference, asked.generation, [self.compat] * len(asked))
        return pd.Series(list(values), asked.index, dtype=float)

    @cached_property
    def correct(self) -> pd.Series:
        """Accuracy: `contains` in sets without paraphrases, `nearest_is_true` of the paraphrased question elsewhere."""
        asked, again = self._generations("question"), self._generations("paraphrased_question")
        asked, again = asked[asked.index.isin(GENERAL, level=0)], again[~again.index.isin(GENERAL, level=0)]
        grouped = self.texts.groupby(["role", "set", "id"], sort=False).continuation
        true, options = grouped.first().to_dict(), grouped.agg(list).to_dict()
        near = [
            nearest_is_true(said, true.get(("paraphrase", *key), ""), options.get(("perturbed", *key), []))
            for key, said in zip(again.index, again.generation, strict=True)
        ]
        return pd.concat(
            [
                pd.Series(list(map(contains, asked.reference, asked.generation)), asked.index, dtype=float),
                pd.Series(near, again.index, dtype=float),
            ]
        )

    @cached_property
    def regurgitation(self) -> pd.Series:
        """ROUGE-L recall of the completion of a document's beginning (Ramakrishna et al. 2025)."""
        asked = self._generations("completion")
        values = map(rouge_recall, asked.reference, asked.generation, [self.compat] * len(asked))
        return pd.Series(list(values), asked.index, dtype=float)

    @cached_property
    def knowledge(self) -> pd.Series:
        """1 where the answer is the reference, but for case and outer blanks (Ramakrishna et al. 2025)."""
        asked = self._generations("question")
        values = [said.strip().lower() == true.strip().lower() for said, true in zip(asked.generation, asked.reference)]
        return pd.Series(values, asked.index, dtype=float)

    @cached_property
    def completed(self) -> pd.Series:
        """ROUGE-L F1 of the completion of a document's beginning (Shi et al. 2024)."""
        asked = self._generations("completion")
        return pd.Series(list(map(rouge_f1, asked.reference, asked.generation)), asked.index, dtype=float)

    @cached_property
    def answered(self) -> pd.Series:
        """ROUGE-L F1 of the answer to the question, up to the next one that the model asks itself (Shi et al. 2024)."""
        asked = self._generations("question")
        said = map(answer_of, asked.generation)
        return pd.Series(list(map(rouge_f1, asked.reference, said)), asked.index, dtype=float)

    @cached_property
    def held(self) -> pd.Series:
        """1 where that answer holds the reference, ignoring case."""
        asked = self._generations("question")
        said = map(answer_of, asked.generation)
        return pd.Series(list(map(contains, asked.reference, said)), asked.index, dtype=float)

    @cached_property
    def abstained(self) -> pd.Series:
        """1 where the answer to the question is a refusal; needs that column of the generations."""
        asked = self._generations("question")
        return asked.get("abstained", pd.Series(np.nan, asked.index, dtype=float))

    @cached_property
    def restored(self) -> pd.Series:
        """1 where a true answer has the largest mean log-probability of all candidates; ties are shared."""
        return self._first(0)

    @cached_property
    def corrupted(self) -> pd.Series:
        """1 where the false one has it."""
        return self._first(1)

    @cached_property
    def lost(self) -> pd.Series:
        """1 where another one has it."""
        return self._first(2)

    @cached_property
    def margin(self) -> pd.Series:
        """Mean log-probability of a token of the true answers less that of the false one."""
        return pd.Series(_candidates.margin(*self._candidates[1:]), self._candidates[0])

    @cached_property
    def restored_generation(self) -> pd.Series:
        """1 where what is said after examples holds a true answer (`_candidates.says`)."""
        asked = self._generations("shots")
        true = self.texts[self.texts.role == "true"].groupby(["set", "id"], sort=False).continuation.agg(list).to_dict()
        said = [_candidates.says(text, true.get(key, ())) for key, text in zip(asked.index, asked.generation)]
        return pd.Series(said, asked.index, dtype=float)

    @cached_property
    def right(self) -> pd.Series:
        """What lm-eval gave the answer to a question of an exam: 1 or 0 for choices."""
        return self._generations("exam").get("score", pd.Series(dtype=float))

    @cached_property
    def document_loss(self) -> pd.Series:
        """Mean negative log-probability of a document's tokens after its first word, without the end of sequence."""
        return self._of_role("document", -mean_of(without_last(self.logp)))

    @cached_property
    def document_min_k(self) -> pd.Series:
        """Minus the mean log-probability of the 40% least likely of those tokens (Shi et al. 2024)."""
        return self._of_role("document", -lowest_mean(without_last(self.logp)))

    @cached_property
    def exact_memorisation(self) -> pd.Series:
        """Share of the answer's tokens that the model puts first, given those before (Tirumala et al. 2022)."""
        return self._of_role("answer", mean_of(without_last(self.hit)))

    @cached_property
    def extraction_strength(self) -> pd.Series:
        """Share of the answer that follows without a miss from the rest of it (Carlini et al. 2021).

        "open-unlearning" gives 1/m, not 0, where not even the last of m tokens is put first, and 0 without tokens.
        """
        strength = matched_suffix(without_last(self.hit))
        if self.compat == "open-unlearning":
            tokens = np.diff(without_last(self.hit).offsets)
            strength = np.where(tokens > 0, np.maximum(strength, 1 / np.maximum(tokens, 1)), 0.0)
        return self._of_role("answer", strength)

    @cached_property
    def zlib(self) -> pd.Series:
        """Loss per byte of the compressed answer (Carlini et al. 2021)."""
        size = [len(zlib.compress(text.encode("utf-8", "replace"))) for text in self.texts.continuation]
        return self._of_role("answer", self._text_loss / np.array(size, dtype=float))

    @cached_property
    def min_k(self) -> pd.Series:
        """Minus the mean log-probability of the 40% least likely tokens (Shi et al. 2024)."""
        return self._of_role("answer", self._or_zero(-lowest_mean(without_last(self.logp))))

    @cached_property
    def min_k_plus_plus(self) -> pd.Series:
        """The same of log-probabilities standardised over the vocabulary (Zhang et al. 2024, arXiv:2404.02936)."""
        spread = np.sqrt(np.maximum(self.var.flat, 1e-6))
        standard = Ragged((self.logp.flat - self.mean.flat) / spread, self.logp.offsets)
        return self._of_role("answer", self._or_zero(-lowest_mean(without_last(standard))))

    @cached_property
    def excess_loss(self) -> pd.Series:
        """Loss beyond a reference model's; needs the column `reference_loss` of the texts."""
        return self._of_role("answer", self._text_loss - self._probe("reference_loss"))

    @cached_property
    def gradient_norm(self) -> pd.Series:
        """Mean over parameter tensors of the L2 norm of the loss's gradient; needs that column of the texts."""
        return self._of_role("answer", self._probe("gradient_norm"))

    @cached_property
    def _text_loss(self) -> Array:
        return -mean_of(self.logp)

    @cached_property
    def _candidates(self) -> tuple[pd.Index, Array, Array, Array, int]:
        """The items that have candidates, then what `_candidates.first` takes."""
        chosen = self.texts.role.isin(_candidates.ROLES).to_numpy()
        owners = pd.MultiIndex.from_frame(self.texts.loc[chosen, ["set", "id"]])
        items = owners.unique()
        role = self.texts.role[chosen].map({name: n for n, name in enumerate(_candidates.ROLES)}).to_numpy(dtype=int)
        return items, -self._text_loss[chosen], role, items.get_indexer(owners), len(items)

    def _first(self, role: int) -> pd.Series:
        return pd.Series(_candidates.first(*self._candidates[1:])[role], self._candidates[0])

    def _probe(self, column: str) -> Array:
        return self.texts.get(column, pd.Series(np.nan, self.texts.index)).to_numpy(dtype=float)

    def _or_zero(self, values: Array) -> Array:
        """open-unlearning scores an answer without tokens 0 in min-k and min-k++."""
        empty = (np.diff(self.logp.offsets) <= 1) & (self.compat == "open-unlearning")
        return np.where(empty, 0.0, values)

    def _of_role(self, role: str, values: Array) -> pd.Series:
        """Values [N] of the texts of one role, by item; NaN where the text's own loss is no finite number."""
        scored = np.isfinite(self._text_loss) | (self.compat != "")
        texts = self.texts[["set", "id"]]
        chosen = ((self.texts.role == role) & (self.texts["index"] == 0)).to_numpy()
        return pd.Series(
            np.where(scored, values, np.nan)[chosen].astype(float), pd.MultiIndex.from_frame(texts[chosen])
        )

    def _wrong(self, items: pd.Index) -> tuple[Array, Array]:
        """Losses of the perturbed texts of `items`, and whose each is."""
        chosen = (self.texts.role == "perturbed").to_numpy()
        owner = items.get_indexer(pd.MultiIndex.from_frame(self.texts.loc[chosen, ["set", "id"]]))
        return self._text_loss[chosen][owner >= 0], owner[owner >= 0]

    def _generations(self, role: str) -> pd.DataFrame:
        return self.generations[self.generations.role == role].set_index(["set", "id"])
