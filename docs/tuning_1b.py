"""What tuning does to the order of methods on 150 published 1B models, beside our own small world.

    python docs/tuning_1b.py MODELS.csv [--results DIR]      writes the tables of docs/tuning_1b.md anew

The file holds one row a model, as its authors measured it (arXiv:2605.24614); none of its numbers is measured here. The
headline is formed from it as `docs/published_1b.py` forms the board's. A table stands between `<!-- NAME -->` and
`<!-- end -->`.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from published_1b import MEMORY, PRIVACY, candidates, harmonic, read
from scipy.stats import rankdata

from bench.compare.analysis import HEADLINE, analyse
from bench.compare.selection import best_headlines
from bench.stats.jackknife import holm
from bench.stats.rank_correlation import Correlation, correlate
from bench.stats.tuning import expected_best, width
from bench.store import files, trials

Array = np.ndarray
Order = Mapping[str, float]

PAGE = Path(__file__).with_suffix(".md")
PART = re.compile(r"(<!-- ([a-z]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
PLACE = ("embedded", "tiny", "tofu:forget10")  # data, model, task
NAMES = {
    "altpo": ("AltPO", "fo-altpo"),
    "graddiff": ("GradDiff", "fo-graddiff"),
    "idkdpo": ("IdkDPO", "fo-idkdpo"),
    "idknll": ("IdkNLL", "fo-idk"),
    "npo": ("NPO", "fo-npo"),
    "rmu": ("RMU", "fo-rmu"),
    "simnpo": ("SimNPO", "fo-simnpo"),
    "undial": ("UNDIAL", "fo-undial"),
}
"""Methods of the file: what their authors call them, and what they are here."""
DEFAULT = 1e-5
"""The learning rate that open-unlearning gives to every method."""
FEW, MANY = 4, 12
DIGITS = 3
"""What is equal to so many digits counts as equal."""
SUMMARIES = {"default rate": "default", "mean": "mean", "best of 4": "few", "best of 12": "many", "best": "best"}
BETWEEN = [
    *(("small, by hand", f"1B, {name}") for name in ("default rate", "mean", "best")),
    *((f"small, {name}", f"1B, {name}") for name in ("mean", "best of 4", "best")),
]
WITHIN = [
    *((f"1B, {name}", "1B, best") for name in ("default rate", "mean")),
    *((f"small, {name}", "small, best") for name in ("by hand", "mean")),
]
ALPHA = 0.05


def runs(models: pd.DataFrame) -> pd.DataFrame:
    """The unlearned models of `published_1b.read` with `setting`, the `headline`, and `theirs`, the aggregate of
    open-unlearning: HM(Mem, privacy, utility), utility its HM(utility, fluency) over the target's."""
    memory, privacy, fluent = (
        harmonic(models[list(names)].to_numpy(float).T)
        for names in (MEMORY.values(), PRIVACY, ("model_utility", "fluency"))
    )
    theirs = harmonic(np.stack([memory, privacy, np.minimum(1, fluent / fluent[0])]))
    setting = models.model.str.replace(r"_ep\d+$", "", regex=True)
    return models.assign(headline=candidates(models)[0].whole, theirs=theirs, setting=setting).iloc[2:]


def summary(of: pd.DataFrame) -> pd.DataFrame:
    """A row a method, best mean first: models, headline at the default rate and by how many are tried, width, ranks."""
    made = pd.DataFrame({str(method): _row(group) for method, group in of.groupby("method")}).T.round(DIGITS)
    made = made.assign(**{f"by {key}": places(made[key]) for key in ("mean", "best")})
    return made.sort_values("mean", ascending=False)


def _row(group: pd.DataFrame) -> dict[str, float]:
    values, at = group.headline, group.headline[np.isclose(group.lr, DEFAULT)]
    counts = {"models": len(values), "settings": group.setting.nunique(), "epochs": group.epoch.nunique()}
    return {**counts, "default": at.median(), "default best": at.max(), **reached(values), "width": width(values)}


def reached(values: Sequence[float]) -> dict[str, float]:
    """Mean, expected best of a few and of many trials (of all where there are fewer), and best."""
    of = expected_best(values)
    return {"mean": of[0], "few": of[:FEW][-1], "many": of[:MANY][-1], "best": of[-1]}


def places(values: Sequence[float]) -> Array:
    """Ranks from 1, the largest first; equal values share the mean of theirs."""
    return rankdata(-np.asarray(values, float))


def explained(of: pd.DataFrame, value: str, by: Sequence[str]) -> float:
    """Share of a column's variance between groups: sum of squares between over all; NaN where it is constant."""
    mean, groups = of[value].mean(), of.groupby(list(by))[value].transform("mean")
    total = float(((of[value] - mean) ** 2).sum())
    return float(((groups - mean) ** 2).sum()) / total if total > 0 else float("nan")


def board(results: Path) -> dict[str, float]:
    """The headline of every method on the board of the small world; empty where there is none."""
    known = files.records(results, lambda line: print(line, file=sys.stderr))
    tables = analyse(results, {cell: r for cell, r in known.items() if (cell.data, cell.model, cell.task) == PLACE})
    found = {row.method: row.scores[HEADLINE].value for t in tables for row in t.rows if HEADLINE in row.scores}
    return {method: value for method, value in found.items() if value is not None}


def tried(results: Path) -> dict[str, list[float]]:
    """The best headline of each trial of every method that was tuned in the small world; empty where none was."""
    folder = trials.folder(results, *PLACE)
    found = {ours: best_headlines(trials.read(trials.path(folder, ours))) for _, ours in NAMES.values()}
    return {method: values for method, values in found.items() if values}


def orders(of: pd.DataFrame, by_hand: Order, tuned: Mapping[str, Sequence[float]]) -> dict[str, Order]:
    """All that methods are ordered by, the summary's and the small world's; methods by their names here."""
    ours = [NAMES[method][1] for method in of.index]
    reach = {method: reached(tuned[method]) for method in ours if method in tuned}
    small = {name: {m: r[key] for m, r in reach.items()} for name, key in SUMMARIES.items() if key != "default"}
    found = {
        **{f"1B, {name}": dict(zip(ours, of[key].tolist(), strict=True)) for name, key in SUMMARIES.items()},
        **{f"small, {name}": values for name, values in {"by hand": by_hand, **small}.items()},
    }
    return {name: {m: round(values[m], DIGITS) for m in ours if m in values} for name, values in found.items()}


def correlations(known: Mapping[str, Order], pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Correlation]:
    """The pairs of orders that share at least three methods; with fewer no order says anything."""
    shared = {(a, b): sorted(known[a].keys() & known[b].keys()) for a, b in pairs}
    return {
        (a, b): correlate([known[a][m] for m in both], [known[b][m] for m in both])
        for (a, b), both in shared.items()
        if len(both) >= 3
    }


# -- the page --------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of the page, its first column words."""
    lines = [" | ".join(map(str, line)) for line in (head, *rows)]
    return "\n".join([f"| {lines[0]} |", f"|---{'|---:' * (len(head) - 1)}|", *(f"| {line} |" for line in lines[1:])])


def methods(of: pd.DataFrame) -> str:
    """The summary."""
    values = ("default", "default best", "mean", "few", "many", "best")
    head = ("method", "models", "at 1e-5, median", "at 1e-5, best", "mean", f"best of {FEW}", f"best of {MANY}", "best")
    rows = [
        [NAMES[method][0], f"{row.models:.0f} ({row.settings:.0f} x {row.epochs:.0f})"]
        + [f"{row[key]:.3f}" for key in values]
        + [f"{row.width:.2f}", f"{row['by mean']:g}", f"{row['by best']:g}"]
        for method, row in of.iterrows()
    ]
    return table((*head, "width", "rank by mean", "rank by best"), rows)


def variance(of: pd.DataFrame) -> str:
    """Shares of the variance between groups, of the headline and of open-unlearning's aggregate, and by chance."""
    by = {"method": ["method"], "lr": ["lr"], "method x lr": ["method", "lr"], "epochs": ["epoch"]}
    kinds = {"all": of, "without UNDIAL": of[of.method != "undial"]}
    rows = [
        [name, f"{kind}, {len(part)}", *(f"{explained(part, value, keys):.1%}" for keys in by.values())]
        for name, value in (("headline", "headline"), ("HM(Mem, privacy, utility)", "theirs"))
        for kind, part in kinds.items()
    ]
    rows += [
        ["by chance", f"{kind}, {len(part)}"]
        + [f"{(part.groupby(keys).ngroups - 1) / (len(part) - 1):.1%}" for keys in by.values()]
        for kind, part in kinds.items()
    ]
    return table(("of", "models", *by), rows)


def values(known: Mapping[str, Order]) -> str:
    """What methods have at both sizes, each value with its rank in its column, and which have no trials yet."""
    columns = {name: of for name, of in known.items() if of and "best of" not in name}
    ranks = {name: dict(zip(of, places([*of.values()]), strict=True)) for name, of in columns.items()}
    rows = [
        [f"{name}, `{m}`", *(f"{of[m]:.3f} ({ranks[at][m]:g})" if m in of else "" for at, of in columns.items())]
        for name, m in NAMES.values()
    ]
    missing = [f"`{ours}`" for _, ours in NAMES.values() if ours not in known["small, best"]]
    said = f"\n\nTuning in the small world is **not yet run** for {', '.join(missing)}." if missing else ""
    return table(("method", *columns), rows) + said


def agreement(known: Mapping[str, Order]) -> str:
    """Rank correlations between the two sizes, with p, and within each, without; and which are shown."""
    between, within = correlations(known, BETWEEN), correlations(known, WITHIN)
    corrected = holm([c.p_spearman for c in between.values()])
    tested = [
        (f"{c.p_spearman:.2g}", f"{q:.2g}", f"{c.p_kendall:.2g}")
        for c, q in zip(between.values(), corrected, strict=True)
    ]
    rows = [
        [f"{a} ~ {b}", c.n, f"{c.spearman:.2f}", p, q, f"{c.kendall:.2f}", p_kendall]
        for ((a, b), c), (p, q, p_kendall) in zip(
            [*between.items(), *within.items()], [*tested, *[("", "", "")] * len(within)], strict=True
        )
    ]
    shown = [f"{a} ~ {b}" for (a, b), q in zip(between, corrected, strict=True) if q < ALPHA]
    said = f"Between the sizes a correlation is shown for {'; '.join(shown) or 'none of these orders'}."
    return table(("order ~ order", "methods", "Spearman", "p", "p, Holm", "Kendall", "p"), rows) + f"\n\n{said}"


def rewritten(text: str, models: pd.DataFrame, results: Path) -> str:
    """The page with its tables made anew, of the rows of `published_1b.read` and of a results directory."""
    of = runs(models)
    known = orders(summary(of), board(results), tried(results))
    parts = {"methods": methods(summary(of)), "variance": variance(of), "values": values(known)}
    parts["agreement"] = agreement(known)
    return PART.sub(lambda found: f"{found[1]}{parts[found[2]]}\n{found[3]}", text)


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("models", metavar="MODELS.csv")
    asked.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    given = asked.parse_args()
    written = rewritten(PAGE.read_text(encoding="utf-8"), read(given.models), given.results)
    PAGE.write_text(written, encoding="utf-8")
