"""What a table says, in words: one sentence for whoever reads no statistics, and remarks for whoever does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.board.numbers import short
from bench.compare.analysis import FORGET_QUALITY, HEADLINE, Comparison, Row, Rules, Table
from bench.compare.headline import ERASED, KEPT
from bench.compare.numbers import KS_DISTANCE, MEMBERSHIP_GAP, UTILITY
from bench.stats.jackknife import FEWEST
from bench.store.record import CONTROLS, ELSEWHERE, RETRAIN, TARGET, Cell, is_checkpoint

SETTINGS = "settings "
"""How the reason begins why a method is set apart whose settings are not from where others' are."""
NOT_REACHED = "not reached"
"""How the reason begins why a matched cell has no scores."""
NEVER = "not reached: the finished model knows more of the forget set than retrain does"
ENOUGH = 5
"""Seeds below which corrected tests have little power (`docs/statistics.md`)."""


def sentence(table: Table, rules: Rules) -> str:
    """Who leads, beaten by nobody, at what cost, and what cannot be told."""
    methods = [row for row in table.rows if row.method not in CONTROLS]
    if not methods:
        return "**There is no method in this table.**"
    able = [row for row in methods if not row.apart and HEADLINE in row.scores and row.seeds == table.seeds]
    if not any(HEADLINE in row.scores for row in methods):
        return f"**Nothing is ranked: {_why_no_headline(table)}.**"
    if not able:
        if any(row.apart.startswith(SETTINGS) for row in methods):
            return "**No method is ranked: those whose settings compare have lost too much of what they should keep.**"
        return "**No method is ranked: every one has lost too much of what it should keep.**"
    first, apart = able[0], sum(bool(row.apart) for row in methods)
    near = ", near the floor of what it must keep" if first.near else ""
    value = short("", first.scores[HEADLINE])
    parts = [f"{first.method} has the highest headline, {value}: it {_part(first)}{_cost(first)}{near}"]
    if not table.ranked:
        parts.append("one seed ranks nobody" if len(table.seeds) == 1 else "without intervals nobody is ranked")
    else:
        parts += filter(None, [_beaten(table), _from_retrain(table, rules)])
    if apart:
        unlike = sum(row.apart.startswith(SETTINGS) for row in methods)
        counts = (apart - unlike, "they lost too much"), (unlike, "their settings were not tuned alike")
        why = " or ".join(reason for count, reason in counts if count)
        parts.append(f"{apart} of {len(methods)} methods are set apart, for {why}")
    return f"**{'; '.join(parts)}.**"


def _beaten(table: Table) -> str:
    """Whom nobody beats; where nobody beats anybody, that."""
    best = [row.method for row in table.ranked if row.rank == 1]
    if len(best) < len(table.ranked):
        return f"nobody is shown to beat {_names(best)}"
    few = f", and with {len(table.seeds)} seeds hardly any can be" if len(table.seeds) < ENOUGH else ""
    return f"no difference between {_names(best)} is shown{few}"


def _why_no_headline(table: Table) -> str:
    if lacking := [name for name in CONTROLS if table.row(name) is None]:
        how = "--target and --retrain add it" if is_checkpoint(table.model) else "python -m bench run adds it"
        how = "import its log with --method" if table.data == ELSEWHERE else how
        return f"there is no {' and no '.join(lacking)} to measure against ({how})"
    if not table.memorisation:
        return "the task declares no memorisation metrics"
    if UTILITY not in table.headlines:
        return "the task has no model utility"
    return (
        "no memorisation metric tells target from retrain" if not table.enters else "a score that it needs is missing"
    )


def _part(row: Row) -> str:
    erased, kept = (row.scores[name].value or 0.0 for name in (ERASED, KEPT))
    return f"erases {erased:.0%} and keeps {kept:.0%}"


def _cost(row: Row) -> str:
    seconds = row.cost.get("unlearn_seconds")
    return "" if seconds is None else f" in {seconds:.0f} s"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)


def _from_retrain(table: Table, rules: Rules) -> str:
    """Which ranked methods no test tells from retrain models; nothing where the task has none that could."""
    ranked, could = [row.method for row in table.ranked], (KS_DISTANCE, MEMBERSHIP_GAP)
    if not any(c.metric in could and RETRAIN in (c.a, c.b) for c in table.comparisons):
        return ""
    rest = [m for m in ranked if not any(is_told(table, m, name, rules) for name in could)]
    if not rest:
        return "corrected tests tell all of them from retrain"
    return f"no corrected test tells {_names(rest)} from retrain, which is no proof of being alike"


def is_told(table: Table, method: str, name: str, rules: Rules) -> bool:
    """Whether a method is significantly different from retrain in what could give it away."""
    return any(
        c.metric == name and {c.a, c.b} == {method, RETRAIN} and c.significant(rules.alpha) for c in table.comparisons
    )


def best(table: Table, name: str, rules: Rules) -> set[str]:
    """The ranked methods that nobody beats on a metric, where somebody is beaten; else none, for then it says nothing.

    A number that is to match retrain's has no best.
    """
    from bench.score.limits import is_p
    from bench.score.scoring import find

    metric, methods = find(name), [row.method for row in table.ranked]
    if metric is None or metric.goal == "match":
        return set()
    lower = is_p(metric) or metric.goal == "minimise"
    shown = [c for c in table.comparisons if c.metric == name and c.significant(rules.alpha)]
    beaten = {c.a if (c.difference > 0) == lower else c.b for c in shown}
    return set(methods) - beaten if beaten & set(methods) else set()


def left_out(table: Table) -> dict[str, list[Cell]]:
    """Why cells are in no number of the table, and which; those that never reach retrain's level are one reason."""
    found: dict[str, list[Cell]] = {}
    for cell, reason in table.left_out:
        found.setdefault(NEVER if reason.startswith(NOT_REACHED) else reason, []).append(cell)
    return found


# -- below a table ---------------------------------------------------------------------------------------------------


def rules_line(table: Table, rules: Rules) -> str:
    """By which rules methods are ranked and set apart, and what the tests rest on."""
    parts = []
    if table.ranked:
        parts.append(
            "Rules: best first by the headline; methods share a letter where no difference between them is shown, at "
            f"p < {rules.alpha:g} for all {len(table.comparisons)} comparisons of this table together (clusters and "
            "seeds; Holm). In the second table bold is what nobody beats, where somebody is beaten."
        )
    elif any(HEADLINE in row.scores for row in table.rows):
        parts.append("Sorted by the headline; nothing is ranked, nothing is bold.")
    if len(table.seeds) == 1:
        parts.append("One seed: intervals are of these runs, items only; another seed may lie outside of them.")
    if table.floors:
        floors = [f"{name.replace('_', ' ')} below {share:g} of the target's" for name, share in table.floors.items()]
        parts.append(f"Set apart: {', or '.join(floors)}, with the whole interval.")
    return " ".join(parts)


def remarks(table: Table, rules: Rules) -> list[str]:
    """What the tests say of a table, and what a reader must know of it."""
    return [*_remarks(table, rules), *table.notes] if table.rows else list(table.notes)


def _remarks(table: Table, rules: Rules) -> Iterator[str]:
    if table.enters:
        yield f"*Erased* is the harmonic mean over {_names([n.replace('_', ' ') for n in table.enters])}."
    for name, why in table.blind.items():
        yield f"Unable to tell, so not in *erased*: {name.replace('_', ' ')} ({why})."
    if apart := [f"{row.method} ({row.apart})" for row in table.rows if row.apart]:
        yield f"Set apart: {'; '.join(apart)}."
    if near := [f"{row.method} ({row.near})" for row in table.rows if row.near and not row.apart]:
        yield f"Near the floor, its interval on both sides: {'; '.join(near)}."
    if any(row.scores.get(HEADLINE) and row.scores[HEADLINE].lo is None for row in table.rows):
        yield f"Fewer than {FEWEST} authors or documents to forget: no interval, no test, no rank can be had."
    if line := _anchors(table, rules):
        yield line
    if table.band is not None:
        low, high = table.band.lo or 0.0, table.band.hi or 0.0
        yield (
            f"KS distance between retrain models of different seeds ({table.band.n} pairs): {table.band.value:.2f}, "
            f"from {low:.2f} to {high:.2f}; that is the band."
        )
    elif FORGET_QUALITY in table.headlines:
        lacking = "two retrain models" if RETRAIN in table.fixed else "two seeds or more"
        yield f"The band of the KS distance between retrain models is unknown: it takes {lacking}."
    if line := _matched(table, rules):
        yield line


def _anchors(table: Table, rules: Rules) -> str:
    """What the tests against target and retrain's ceiling say."""
    known = {(m, control): c for c in table.comparisons if c.metric == HEADLINE
             for m, control in ((c.a, c.b), (c.b, c.a)) if control in CONTROLS}  # fmt: skip
    methods = [row.method for row in table.ranked]
    if not methods or not known:
        return ""
    better = [m for m in methods if (c := known.get((m, TARGET))) and c.significant(rules.alpha)]
    below = [m for m in methods if (c := known.get((m, RETRAIN))) and c.significant(rules.alpha)]
    return (
        f"Headline shown to be above the untouched target's: {_names(better) or 'none'}; shown to be below what "
        f"another retrain model scores (the ceiling): {_names(below) or 'none'}."
    )


def _matched(table: Table, rules: Rules) -> str:
    """What the tests at retrain's level of forgetting say."""
    if not any(row.matched.at_retrain.value is not None for row in table.rows):
        return ""
    if not table.matched:
        return ""
    said = _orders([c for c in table.matched if c.p_holm < rules.alpha])
    tests = f"t-test paired by seed, Holm over {len(table.matched)}"
    return f"At retrain's level of forgetting ({tests}), significant: {said}."


def _orders(compared: Sequence[Comparison]) -> str:
    orders = [(c.a, c.b) if c.difference > 0 else (c.b, c.a) for c in compared]
    return ", ".join(f"{better} > {worse}" for better, worse in orders) or "none"
