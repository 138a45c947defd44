"""What every metric must satisfy, each with what its author can do where it is not met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from bench import registry
from bench.api import Metric, Ragged, Rows
from bench.conformance.unmet import Demand, Unmet

Values = Mapping[tuple[str, str], np.ndarray]
GOALS = ("maximise", "minimise", "match")
SAMPLES, ITEMS = 3, 12


def demands(name: str) -> Iterator[Demand]:
    """What scoring needs of a metric: it is asked on made-up values of the columns that it reads."""
    at = registry.find("metric", name)
    yield Demand("it can be imported", lambda: registry.load("metric", name)(), at, opens=True)
    metric: Metric = registry.load("metric", name)()
    yield Demand("it says what it is", lambda: _says_what_it_is(metric, name), at, opens=True)
    yield Demand("it has the columns that it reads", lambda: _has_its_columns(metric), at)
    yield Demand("it reduces the items, and samples stay apart", lambda: _reduces_the_last_axis(metric), at)
    yield Demand("the order of the items does not matter", lambda: _takes_any_order(metric), at)


def of_metric(name: str) -> None:
    """Raise what the first demand raises that the metric does not meet."""
    for demand in demands(name):
        demand.meet()


def _says_what_it_is(metric: Metric, name: str) -> None:
    for told in ("title", "goal", "version", "needs", "needs_retrain"):
        if not hasattr(metric, told):
            raise Unmet(f"'{name}' has no `{told}`. Build on bench.metrics._forms.Mean, or say it in the class")
    if metric.goal not in GOALS:
        raise Unmet(f"its goal is {metric.goal!r}. Write one of {', '.join(GOALS)}")
    if not metric.title or metric.version < 1:
        raise Unmet(f"'{name}' needs a title for its column, and a version of 1 or more")
    if not metric.needs or not all(isinstance(need, tuple) and len(need) == 2 for need in metric.needs):
        raise Unmet(f'its needs are {metric.needs!r}. Name pairs of set and column: (("forget", "rouge"),)')
    if not registry.find("metric", name).doc:
        raise Unmet(f"say in the docstring of '{name}' what it is the mean, or the share, of")


def _has_its_columns(metric: Metric) -> None:
    try:
        columns = metric.items(_rows(metric))
    except AttributeError as error:
        raise Unmet(
            f"{error}. Its needs name a column that bench.metrics._items.Items does not have: give the metric an "
            "`items(rows)` of its own that returns it"
        ) from error
    for _, column in metric.needs:
        if column not in columns:
            raise Unmet(f"its `items` gives no column '{column}', which its needs name")
        if not isinstance(columns[column], pd.Series) or columns[column].index.nlevels != 2:
            raise Unmet(f"its column '{column}' is no pandas Series by (set, id): set_index(['set', 'id'])")


def _rows(metric: Metric) -> Rows:
    """An answer and a generation for each set that the metric reads, as a measurement gives them."""
    sets = list(dict.fromkeys(name for name, _ in metric.needs))
    place = [{"set": name, "id": "0", "cluster": "0"} for name in sets]
    texts = [{**p, "role": "answer", "index": 0, "continuation": "the bridge"} for p in place]
    said = {"reference": "the bridge", "generation": "the old bridge", "finished": True, "score": 1.0}
    many = np.arange(0, 2 * len(sets) + 1, 2)
    values = Ragged(np.full(2 * len(sets), -0.5, np.float32), many)
    return Rows(
        pd.DataFrame([{**t, "reference_loss": 0.5, "gradient_norm": 0.5} for t in texts]),
        values, Ragged(np.ones(2 * len(sets), bool), many), values, Ragged(-values.flat, many),
        pd.DataFrame([{**p, "role": role, **said} for p in place for role in ("question", "exam")]),
    )  # fmt: skip


def _sides(metric: Metric) -> tuple[Values, Values | None]:
    """Made-up item values of a model and of its retrain, [SAMPLES, ITEMS] each."""
    random = np.random.default_rng(0)
    own, retrain = ({need: random.uniform(0.05, 0.95, (SAMPLES, ITEMS)) for need in metric.needs} for _ in range(2))
    return own, retrain if metric.needs_retrain else None


def _reduces_the_last_axis(metric: Metric) -> None:
    own, retrain = _sides(metric)
    whole = np.asarray(metric.score(own, retrain))
    if whole.shape != (SAMPLES,):
        raise Unmet(
            f"{SAMPLES} samples of {ITEMS} items give it the shape {whole.shape}, not ({SAMPLES},). Reduce the last "
            "axis alone: values.mean(axis=-1)"
        )
    for i in range(SAMPLES):
        one = metric.score({k: v[i] for k, v in own.items()}, retrain and {k: v[i] for k, v in retrain.items()})
        if not np.isclose(float(one), whole[i], rtol=1e-12, equal_nan=True):
            raise Unmet(
                f"a sample alone gives {float(one):.6g}, beside others {whole[i]:.6g}. Never mix the leading axes"
            )


def _takes_any_order(metric: Metric) -> None:
    own, retrain = _sides(metric)
    order = {name: np.random.default_rng(1).permutation(ITEMS) for name, _ in metric.needs}
    mixed = [side and {need: v[..., order[need[0]]] for need, v in side.items()} for side in (own, retrain)]
    before, after = metric.score(own, retrain), metric.score(mixed[0] or {}, mixed[1])
    if not np.allclose(before, after, rtol=1e-9, equal_nan=True):
        raise Unmet("its score depends on the order of the items, which nobody keeps")
