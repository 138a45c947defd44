"""What the tuned boards say of the SIMU paper's claims, and what tuning changed.

    python docs/findings.py [--results DIR]      writes the tables of docs/findings.md anew

Boards are those of the records in DIR whose settings `bench tune` chose, beside those set by hand. A table stands
between `<!-- NAME -->` and `<!-- end -->`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from tuning_1b import DIGITS, PART, places, table

from bench.compare.analysis import HEADLINE, Row, Rules, Table, analyse, asked
from bench.compare.comparing import Comparison
from bench.compare.findings import of_pair
from bench.compare.headline import ERASED, KEPT
from bench.compare.selection import OBJECTIVES
from bench.compare.trade_off import at_retrain, paired
from bench.compare.tuning import Tuned, tunings
from bench.stats.jackknife import holm
from bench.stats.rank_correlation import correlate
from bench.store import files
from bench.store.record import CONTROLS, RETRAIN, Cell, Record

PAGE = Path(__file__).with_suffix(".md")
ALPHA, MARGIN = 0.05, Rules().margin
LEVELS = (0.5, 0.8, 0.95)
"""Shares erased at which methods are compared by what they keep."""
EQUAL_FORGETTING = "at equal forgetting"
MEASURES = {HEADLINE: "headline", ERASED: "erased", KEPT: "kept", EQUAL_FORGETTING: "retain p at equal forgetting"}


class Claim(NamedTuple):
    """A claim of the paper as pairs of methods: the first of each should be above the second."""

    words: str
    pairs: tuple[tuple[str, str], ...]


CLAIMS = (
    Claim("SIMU is above second-order unlearning of all weights",
          (("simu-graddiff", "so-graddiff"), ("simu-npo", "so-npo"))),
    Claim("SIMU is above first-order unlearning of all weights",
          (("simu-graddiff", "fo-graddiff"), ("simu-npo", "fo-npo"))),
    Claim("critical neurons are above as many random ones",
          (("simu-graddiff", "graddiff+sophia+random-neurons"), ("simu-npo", "npo+sophia+random-neurons"))),
    Claim("the second order is above the first, on SIMU's weights",
          (("simu-graddiff", "graddiff+adamw+simu"), ("simu-npo", "npo+adamw+simu"))),
    Claim("the second order is above the first, on all weights",
          (("so-graddiff", "fo-graddiff"), ("so-npo", "fo-npo"), ("so-ga", "fo-ga"))),
)  # fmt: skip


class Board(NamedTuple):
    """One table with the records that it is of."""

    table: Table
    records: Mapping[Cell, Record]

    @property
    def objective(self) -> str:
        """What its settings were tuned to; "by hand" of those that were not."""
        return self.table.model.partition("@")[2] or "by hand"

    @property
    def place(self) -> tuple[str, str, str]:
        """Data, model and task."""
        return self.table.data, self.table.model.partition("@")[0], self.table.task


def boards(results: Path) -> list[Board]:
    """Every board of which there is a tuned one, tuned or by hand; steps of a series have a page of their own."""
    known = files.records(results, lambda line: print(line, file=sys.stderr))
    tuned = {_of(cell) for cell in known if "@" in cell.model}
    known = {cell: record for cell, record in known.items() if _of(cell) in tuned}
    at = lambda t: {c: r for c, r in known.items() if (c.data, c.model, c.task) == (t.data, t.model, t.task)}  # noqa: E731
    return [Board(table, at(table)) for table in analyse(results, known) if not table.series]


def _of(cell: Cell) -> tuple[str, str, str]:
    """Data, model and task, whatever its settings were tuned to."""
    return cell.data, cell.model.partition("@")[0], cell.task


def differences(results: Path, board: Board) -> dict[tuple[str, str], dict[str, Comparison]]:
    """The differences of every pair of the claims that the board has, by measure; nothing is corrected yet."""
    found = {}
    have = {row.method for row in board.table.rows}
    for a, b in dict.fromkeys(pair for claim in CLAIMS for pair in claim.pairs):
        if {a, b} <= have:
            own = {cell: record for cell, record in board.records.items() if cell.method in (a, b, *CONTROLS)}
            of = of_pair(results, own, asked(board.table, Rules()), a, b, [HEADLINE, ERASED, KEPT])
            found[a, b] = of.comparisons | at_equal_forgetting(board.records, a, b)
    return found


def at_equal_forgetting(records: Mapping[Cell, Record], a: str, b: str) -> dict[str, Comparison]:
    """The difference of the retain probability that runs have left where they have forgotten as much as retrain."""
    by = {(cell.method, cell.seed): record for cell, record in records.items() if record.status == "ok"}
    left = {m: {s: at_retrain(r, by.get((RETRAIN, s))) for (name, s), r in by.items() if name == m} for m in (a, b)}
    found = paired(left, [(a, b)], EQUAL_FORGETTING, MARGIN)
    return dict(zip([EQUAL_FORGETTING], found, strict=False))


# -- the page --------------------------------------------------------------------------------------------------------


def claims(results: Path, known: Sequence[Board]) -> str:
    """Every claim on every tuned board, the headline's p corrected for all of them together."""
    tuned = [(board, differences(results, board)) for board in known if board.objective != "by hand"]
    rows = [
        (claim.words, board, pair, of)
        for claim in CLAIMS
        for board, differ in tuned
        for pair, of in differ.items()
        if pair in claim.pairs and HEADLINE in of
    ]
    ps = [of[HEADLINE].p for *_, of in rows]
    corrected = holm(ps) if ps else []
    lines = [
        [words, _where(board), f"{pair[0]} - {pair[1]}", *(_difference(of.get(name)) for name in MEASURES),
         f"{p:.2g}", _verdict(of[HEADLINE], p), len(of[HEADLINE].seeds)]
        for (words, board, pair, of), p in zip(rows, corrected, strict=True)
    ]  # fmt: skip
    said = f"\n\n{len(lines)} differences of the headline, corrected together (Holm)."
    return table(("claim", "board", "difference", *MEASURES.values(), "p, Holm", "verdict", "seeds"), lines) + said


def _difference(found: Comparison | None) -> str:
    return "not reached" if found is None else f"{found.difference:+.2f} [{found.lo:+.2f}, {found.hi:+.2f}]"


def _verdict(found: Comparison, p: float) -> str:
    """Shown, the opposite shown, shown to be alike, or what half the interval's width asks for."""
    if p < ALPHA:
        return "**shown**" if found.difference > 0 else "**the opposite is shown**"
    if found.equivalent < ALPHA:
        return f"alike within {MARGIN:g}"
    half = (found.hi - found.lo) / 2
    needed = max(len(found.seeds) + 1, round(len(found.seeds) * (half / MARGIN) ** 2))
    return f"cannot be told; some {needed} seeds, if seeds are what it lacks"


def _where(board: Board) -> str:
    data, model, task = board.place
    return f"{_place(task, data, model)}, {board.objective}"


def _place(task: str, data: str, model: str) -> str:
    return f"{task}, {data} {model}"


def ranks(known: Sequence[Board]) -> str:
    """Headline of every method that was tuned, and its rank among these, by hand and tuned; a table a task."""
    parts = []
    for place in dict.fromkeys(board.place for board in known):
        of = {board.objective: board for board in known if board.place == place}
        names = [name for name in ("by hand", *OBJECTIVES) if name in of]
        tuned = {row.method for name in names if name != "by hand" for row in of[name].table.rows}
        columns = {name: headlines([r for r in of[name].table.rows if r.method in tuned]) for name in names}
        methods = sorted({m for c in columns.values() for m in c}, key=lambda m: (-columns[names[-1]].get(m, 0.0), m))
        said = {name: _ranked(column) for name, column in columns.items()}
        rows = [[m, *(said[name].get(m, "") for name in names)] for m in methods]
        parts += [f"**{place[2]}, {place[0]} {place[1]}**\n\n" + table(("method", *names), rows) + _agreement(columns)]
    return "\n\n".join(parts)


def _ranked(column: Mapping[str, float]) -> dict[str, str]:
    """Each value with its rank in the column."""
    at = places([round(value, DIGITS) for value in column.values()])
    return {m: f"{value:.2f} ({rank:g})" for (m, value), rank in zip(column.items(), at, strict=True)}


def headlines(rows: Sequence[Row]) -> dict[str, float]:
    """The headline of every method that has one."""
    values = {row.method: row.scores[HEADLINE].value for row in rows if HEADLINE in row.scores}
    return {m: v for m, v in values.items() if v is not None and m not in CONTROLS}


def _agreement(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Spearman's correlation of the order by hand with each tuned one, over the methods that both have."""
    said = []
    by_hand = columns.get("by hand", {})
    for name in (n for n in columns if n != "by hand"):
        both = sorted(by_hand.keys() & columns[name].keys())
        if len(both) >= 3:
            found = correlate([by_hand[m] for m in both], [columns[name][m] for m in both])
            said.append(f"{name}: {found.spearman:+.2f} (p = {found.p_spearman:.2g}, {len(both)} methods)")
    return f"\n\nSpearman's correlation with the order by hand: {'; '.join(said)}." if said else ""


def reached(results: Path) -> str:
    """Utility over the target's at equal forgetting: the most that any trial kept where it had erased so much."""
    rows = []
    for tuning in tunings(results):
        for of in tuning.methods:
            kept = [max((s.utility for s in of.cloud if s.erased >= level), default=None) for level in LEVELS]
            rows.append([_place(tuning.task, tuning.data, tuning.model), of.method, *map(_number, kept)])
    return table(("tuned on other worlds for", "method", *(f"erased at least {level:g}" for level in LEVELS)), rows)


def spent(results: Path) -> str:
    """What was tried, method by method, and what choosing costs: the gap and the optimism."""
    rows: list[list[object]] = []
    lost: dict[str, list[float]] = {objective: [] for objective in OBJECTIVES}
    for tuning in tunings(results):
        for of in tuning.methods:
            for objective, optimism in of.optimism.items():
                lost[objective] += [] if optimism is None or optimism.headline is None else [optimism.headline]
            by = {c: _chosen(of, c) for c in OBJECTIVES}
            rows.append([_place(tuning.task, tuning.data, tuning.model), of.method, len(of.settings), f"{of.width:.2f}",
                         _number(of.default), *by.values(), _number(of.gap), f"{of.seconds:.0f}"])  # fmt: skip
    head = ("tuned on other worlds for", "method", "trials", "width", "default", *OBJECTIVES, "gap", "s a trial")
    said = [f"{name} {fmean(of):+.3f} on average, {max(of):+.2f} at most" for name, of in lost.items() if of]
    return table(head, rows) + f"\n\nOptimism: {'; '.join(said)}."


def _chosen(of: Tuned, objective: str) -> str:
    """The validation headline of a choice, and what it lost when it was run with fresh seeds."""
    choice = of.choices.get(objective)
    optimism = of.optimism.get(objective)
    if choice is None:
        return "-"
    lost = "" if optimism is None else f" ({optimism.headline:+.2f})"
    return f"{choice.candidate.headline:.2f}{lost}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def rewritten(text: str, results: Path) -> str:
    """The page with its tables made anew."""
    known = boards(results)
    parts = {"claims": claims(results, known), "ranks": ranks(known)}
    parts |= {"reached": reached(results), "spent": spent(results)}
    return PART.sub(lambda found: f"{found[1]}{parts[found[2]]}\n{found[3]}", text)


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    written = rewritten(PAGE.read_text(encoding="utf-8"), given.parse_args().results)
    PAGE.write_text(written, encoding="utf-8")
