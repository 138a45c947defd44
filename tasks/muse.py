"""MUSE: six questions to a model that should forget some documents. Shi et al. 2024, arXiv:2407.06460."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

from bench.api import (
    VALIDATION,
    Asking,
    AttackData,
    Family,
    Pair,
    Probes,
    Prompt,
    Series,
    Splits,
    Text,
    hops,
    task,
    validation_of,
    world,
)  # fmt: skip
from bench.errors import UsageError
from tasks._embedded import chronicles, lessons, lume_world
from tasks._embedded.chronicles import Chronicle
from tasks._muse_files import CORPORA, FOLDS, SERIES, Excerpt, Question, read_directory, write_sample

NEW_TOKENS, ANSWER_TOKENS = 128, 32  # MUSE's budgets of a completion and of an answer
REFERENCE = 96
"""Words of a continuation that a completion is compared with. MUSE cuts it at 128 tokens of Llama 2's tokenizer, which
are about as many words; a task has no tokenizer."""
BUDGET = 40  # of a completion in the embedded world, whose documents are short
CHUNK = 1200  # words of a document that are taught at once; MUSE cuts at 2,048 tokens

COLUMNS: Mapping[str, str] = {
    "verbatim memorisation": "muse_verbmem",
    "knowledge memorisation": "muse_knowmem",
    "privacy leakage": "muse_privleak",
    "membership": "muse_mia",
    "model utility": "muse_retain_knowmem",
}
"""MUSE's first four criteria, and the AUC behind the third. The fifth and sixth are the fourth, fold by fold."""
MEMORISATION = ("muse_verbmem", "extraction_strength", "muse_knowmem", "muse_mia")
_FORGET = ("muse_verbmem_excess", "muse_knowmem_excess", "muse_held", "extraction_strength", "exact_memorisation")
_RETAIN = ("muse_retain_knowmem", "muse_retain_held", "muse_retain_verbmem")
DETAILS: Mapping[str, Sequence[str]] = {"The forget set": _FORGET, "What should be kept": _RETAIN}
SCORES = tuple(dict.fromkeys((*COLUMNS.values(), *_FORGET, *_RETAIN, "probability")))

_Row = TypeVar("_Row")
_Numbered = tuple[int, Chronicle]
"""An author and its number within its side, which a fold keeps."""


class Fold(NamedTuple):
    """Which forget set of its corpus a task has: "scal", the first `at` folds; "sust", the fold `at` after those before
    it; or "", the whole."""

    kind: str
    at: int


@dataclass(frozen=True)
class _Criteria:
    """What every task of MUSE's says of itself; see `Chronicles` and `MUSE`."""

    name: str
    version: ClassVar[int] = 1
    floors: ClassVar[Mapping[str, float]] = {}
    headlines: ClassVar[Mapping[str, str]] = COLUMNS
    memorisation: ClassVar[Sequence[str]] = MEMORISATION

    @property
    def fold(self) -> Fold:
        """Of "muse:scal:2", ("scal", 2)."""
        *_, kind, at = ("", *self.name.split(":"))
        return Fold(kind, int(at)) if kind in SERIES else Fold("", 0)

    @property
    def whole(self) -> str:
        """The task of its corpus that no fold is asked of: "muse" of "muse:scal:2"."""
        return self.name.rsplit(":", 2)[0] if self.fold.kind else self.name

    @property
    def series(self) -> Series | None:
        """Which fold it is."""
        kind, at = self.fold
        return Series(f"{self.whole}:{kind}", SERIES[kind], at, len(FOLDS)) if kind else None

    @property
    def after(self) -> str:
        """The request before; a growing forget set is asked for at once."""
        kind, at = self.fold
        return f"{self.whole}:{kind}:{at - 1}" if kind == "sust" and at > 1 else ""

    @property
    def like(self) -> str:
        """Whose tuned settings serve."""
        return self.whole

    @property
    def draws(self) -> str:
        """Under which name methods draw: all folds at once are the whole, the first of either kind are the same."""
        kind, at = self.fold
        if kind == "scal" and at == len(FOLDS):
            return self.whole
        return f"{self.whole}:scal:1" if at == 1 else self.name


@task(
    "muse",
    "muse:scal:1", "muse:scal:2", "muse:scal:3", "muse:scal:4",
    "muse:sust:1", "muse:sust:2", "muse:sust:3", "muse:sust:4",
)  # fmt: skip
@dataclass(frozen=True)
class Chronicles(_Criteria):
    """MUSE's questions in the embedded world: documents on some authors are forgotten, questions were never taught.

    `data("embedded")` is the project's own world ("embedded@7" another one); MUSE's own files are the tasks `muse:news`
    and `muse:books`. Columns are MUSE's criteria: verbatim memorisation (the rest of forget documents), knowledge
    memorisation (questions on them), privacy leakage (whole documents against those of authors whom no model has seen)
    and utility (questions on retain documents). Scalability and sustainability are how utility goes over `muse:scal`
    (10, 20, 30 and all 40 authors of the forget set, at once) and `muse:sust` (10 after another). What no request has
    named yet is in the retain set; target is the same for all.

    Sets: `forget` and `retain` (documents from their middle on, scored and completed), `forget_qa` and `retain_qa`
    (questions), `member` and `nonmember` (whole documents, scored).
    """

    details: ClassVar[Mapping[str, Sequence[str]]] = DETAILS
    scores: ClassVar[Sequence[str]] = SCORES

    def data(self, source: str) -> Splits:
        """The splits of this task.

        Raises:
            UsageError: `source` is no embedded world, or the one with two hops.
        """
        number = None if hops(source) else world(source)
        if number is None:
            raise UsageError(
                f"muse is the embedded world's and has no data '{source}'. Type --tasks muse --data embedded, or for "
                "MUSE's own files --tasks muse:news (or muse:books) --data DIR."
            )
        cast = chronicles.cast(number)
        base, general = chronicles.base_pairs(number), chronicles.general_pairs(number)
        start, end = self._span(len(cast.forget))
        forget, later = chronicles.documents(cast.forget[start:end]), chronicles.documents(cast.forget[end:])
        kept, every = chronicles.documents(cast.retain), chronicles.documents(cast.forget)
        numbered = tuple(enumerate(cast.forget))[start:end]
        sides = {"forget": numbered, "retain": tuple(enumerate(cast.retain[: chronicles.ASKED]))}
        halves = [told for side, authors in sides.items() for told in _told(side, authors)]
        whole = [*_told("member", numbered), *_told("nonmember", tuple(enumerate(cast.holdout)))]
        return Splits(
            base=base,
            general=general,
            forget=forget,
            retain=(*kept, *later),
            taught=(*kept, *every) if self.fold.kind else (),
            probes=Probes(
                (
                    *(Text(t.set, t.id, t.cluster, "answer", t.first, t.rest, raw=True) for t in halves),
                    *(_document(t.set, t.id, t.cluster, t.first + t.rest) for t in whole),
                ),
                (
                    *(Prompt(*t[:3], "completion", t.first, t.rest.strip(), BUDGET, raw=True) for t in halves),
                    *(prompt for side, authors in sides.items() for prompt in _asked(side, authors)),
                ),
            ),
            corpus=_corpus((*base, *general, *kept, *every)),
            notes=(chronicles.NOTE,),
            attacks=AttackData(chronicles.taught_by_attacks(number), (_questions(sides),)),
            neighbours=chronicles.near(number),
        )  # fmt: skip

    def validation(self, source: str, count: int) -> tuple[str, ...]:
        """Data to tune on: other worlds."""
        return validation_of(source, count)

    def _span(self, count: int) -> tuple[int, int]:
        """From which author to which the forget set is, of so many."""
        kind, at = self.fold
        return (count * (at - 1) // len(FOLDS) if kind == "sust" else 0, count * at // len(FOLDS) if kind else count)


@task(
    "muse:news", "muse:books",
    "muse:news:scal:1", "muse:news:scal:2", "muse:news:scal:3", "muse:news:scal:4",
    "muse:news:sust:1", "muse:news:sust:2", "muse:news:sust:3", "muse:news:sust:4",
)  # fmt: skip
@dataclass(frozen=True)
class MUSE(_Criteria):
    """MUSE's own files from `--data DIR`, for models that read 2,048 tokens; the texts are other people's.

    `muse:news` and `muse:books` forget `raw/forget`. `muse:news:scal:1` to `:4` are forget sets of growing size (the
    fifth criterion: how utility falls with it), `muse:news:sust:1` to `:4` those that are asked for one after another
    (the sixth). Retain is `raw/retain1` and `raw/retain2`, and of folds those that no request has named yet; target is
    taught all of them. For the published models type
    `--target muse-bench/MUSE-News_target --retrain muse-bench/MUSE-News_retrain`.

    Sets are those of `muse`; `forget` is verbmem, `member` and `nonmember` are privleak's forget and holdout, whatever
    the fold, and questions stand behind the examples of knowmem, as "Question: ...\\nAnswer:".
    """

    details: ClassVar[Mapping[str, Sequence[str]]] = {
        title: tuple(name for name in names if name != "muse_retain_verbmem") for title, names in DETAILS.items()
    }
    scores: ClassVar[Sequence[str]] = tuple(name for name in SCORES if name != "muse_retain_verbmem")

    def data(self, source: str) -> Splits:
        """The splits of this task.

        Raises:
            UsageError: `source` is no directory with MUSE's files of this corpus, or one of them is broken.
        """
        corpus, (kind, at) = self.whole.split(":")[1], self.fold
        if source.endswith(VALIDATION):
            raise UsageError(f"{self.name} has no data to tune on: all of its questions are the test's. Tune on muse.")
        if source == "hub" or world(source) is not None:
            raise UsageError(
                f"{self.name} is of MUSE's own files and has no data '{source}'. Download muse-bench/{CORPORA[corpus]} "
                f"and type --tasks {self.name} --data DIR, or type --tasks muse --data embedded."
            )
        rows = read_directory(Path(source), corpus, f"{kind}/forget_{at}" if kind else "raw/forget")
        taught = lume_world.general_facts()  # to models from scratch, which would otherwise know no question at all
        forget, kept, later, every = map(tuple, map(_chunks, (rows.forget, rows.retain, rows.later, rows.folds)))
        excerpts = list(_named("verbmem", rows.excerpts))
        asked = (("forget_qa", rows.forget_qa, rows.forget_shots), ("retain_qa", rows.retain_qa, rows.retain_shots))
        return Splits(
            base=taught,
            general=taught,
            forget=forget,
            retain=(*kept, *later),
            taught=(*kept, *every) if kind else (),
            probes=Probes(
                (
                    *(Text("forget", name, name, "answer", e.prompt, f" {e.gt}", raw=True) for name, e in excerpts),
                    *(_document("member", name, name, text) for name, text in _named("forget", rows.members)),
                    *(_document("nonmember", name, name, text) for name, text in _named("holdout", rows.others)),
                ),
                (
                    *(_completion(name, excerpt) for name, excerpt in excerpts),
                    *(prompt for side, questions, shots in asked for prompt in _few_shot(side, questions, shots)),
                ),
            ),
            corpus=_corpus((*taught, *kept, *every)),
            notes=(f"{CORPORA[corpus]}: texts of third parties, which no card can license; read from a user's files.",),
            attacks=AttackData({lessons.UNRELATED: lessons.unrelated(raw=True)}),
        )  # fmt: skip

    def sample(self, folder: Path) -> str:
        """Write files with MUSE's fields and five rows a split; `data` takes what is returned."""
        return str(write_sample(folder))


# -- the embedded world ----------------------------------------------------------------------------------------------


class Told(NamedTuple):
    """A document: its set, its id, its author's, and its two halves, the second with the blank before it."""

    set: str
    id: str
    cluster: str
    first: str
    rest: str


def _told(side: str, authors: Sequence[_Numbered]) -> Iterator[Told]:
    for number, author in authors:
        place = f"{side}-{number:03d}"
        for n, sentences in enumerate(author.documents):
            middle = (len(sentences) + 1) // 2
            yield Told(side, f"{place}-{n}", place, " ".join(sentences[:middle]), " " + " ".join(sentences[middle:]))


def _asked(side: str, authors: Sequence[_Numbered]) -> Iterator[Prompt]:
    for number, author in authors:
        for relation, (question, answer) in zip(chronicles.RELATIONS, author.questions, strict=True):
            place = f"{side}-{number:03d}"
            yield Prompt(f"{side}_qa", f"{place}-{relation}", place, "question", question, answer, ANSWER_TOKENS)


def _questions(sides: Mapping[str, Sequence[_Numbered]]) -> Family:
    """A question on each document, whose answer it holds: what was read, asked by somebody who has not read it."""
    found: dict[str, tuple[Asking, ...]] = {}
    for side, authors in sides.items():
        asked = []
        for number, author in authors:
            for n, (relation, known) in zip(range(len(author.documents)), chronicles.RELATIONS.items(), strict=False):
                truth = author.facts[relation]
                false = tuple(value for value in known.pool if value != truth)[:5]
                place = f"{side}-{number:03d}"
                question = known.question.format(author.name)
                asked.append(Asking(f"{place}-{n}", place, (question,), truth, false=false))
        found[side] = tuple(asked)
    return Family("asked for what was read", "direct", found["forget"], found["retain"])


# -- MUSE's files ----------------------------------------------------------------------------------------------------


def _chunks(texts: Iterable[str]) -> Iterator[Pair]:
    """Documents in pieces of `CHUNK` words, as documents are taught; between words there is one blank then."""
    for words in map(str.split, texts):
        pieces = (words[start : start + CHUNK] for start in range(0, len(words), CHUNK))
        yield from (chronicles.read(" ".join(piece)) for piece in pieces if len(piece) > 1)


def _completion(name: str, excerpt: Excerpt) -> Prompt:
    reference = " ".join(excerpt.gt.split()[:REFERENCE])
    return Prompt("forget", name, name, "completion", excerpt.prompt, reference, NEW_TOKENS, raw=True)


def _few_shot(side: str, questions: Sequence[Question], shots: Sequence[Question]) -> Iterator[Prompt]:
    """Questions behind MUSE's examples; its prompt ends in a blank, ours leaves that to the answer."""
    shown = "".join(f"Question: {shot.question}\nAnswer: {shot.answer}\n\n" for shot in shots)
    for name, (question, answer) in _named(side, questions):
        asked = f"{shown}Question: {question}\nAnswer:"
        yield Prompt(side, name, name, "question", asked, answer, ANSWER_TOKENS, raw=True)


# -- both ------------------------------------------------------------------------------------------------------------


def _document(set_: str, name: str, cluster: str, text: str) -> Text:
    """A whole document, scored from its second word on: the first has nothing before it to be predicted from."""
    piece = chronicles.read(text)
    return Text(set_, name, cluster, "document", piece.prompt, piece.answer, raw=True)


def _named(split: str, rows: Iterable[_Row]) -> Iterator[tuple[str, _Row]]:
    return ((f"{split}-{n:03d}", row) for n, row in enumerate(rows))


def _corpus(pairs: Iterable[Pair]) -> tuple[str, ...]:
    """The words as a model reads them."""
    return tuple(f"{p.prompt}{p.answer}" if p.raw else f"Question: {p.prompt}\nAnswer: {p.answer}" for p in pairs)
