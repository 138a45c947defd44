"""The picture of a board: the same bytes each time, every method named beside its point, anchors drawn."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from bench.api import Score
from bench.board import picture
from bench.compare.analysis import analyse
from tests.board.test_leaderboard import CONTROLS, board  # noqa: F401


def table(board, *more):  # noqa: F811
    """A table whose rows have erased and kept as much as they have of aggregate and utility."""
    (found,) = analyse(*board(*CONTROLS, *more))
    for row in found.rows:
        row.scores.update(erased=row.scores["task_aggregate"], kept=row.scores["model_utility"])
    return found


def test_every_row_is_named_in_text_and_the_bytes_repeat(board):  # noqa: F811
    tables = [table(board, ("a", 0, 0.8, 0.7), ("b$c_", 0, 0.8, 0.2))]
    drawn = picture.svg(tables)
    assert drawn == picture.svg(tables)
    said = "".join(ElementTree.fromstring(drawn).itertext())
    assert all(word in said for word in ("target", "retrain", "b$c_", "tofu:forget10, embedded world, one seed"))


def test_a_row_without_one_of_the_numbers_has_no_place(board):  # noqa: F811
    found = table(board, ("a", 0, 0.8, 0.7))
    row = next(row for row in found.rows if row.method == "a")
    assert picture.place(found, row)[0].value == 0.7
    row.scores["kept"] = Score(None)
    assert picture.place(found, row) is None
    assert picture.shown([found]) == [found]


def test_labels_lie_off_each_other_and_off_the_points():
    points = {f"method-{i}": (150.0 + 4 * i, 160.0 - 3 * i) for i in range(6)}
    spots = picture.labels(points)
    wide = len("method-0") * picture.LETTER
    for one, (x, y) in spots.items():
        for other, (u, v) in spots.items():
            assert one == other or abs(x - u) >= wide or abs(y - v) >= picture.LINE
        assert all(abs(x - u) > wide / 2 or abs(y - v) > picture.LINE / 2 for u, v in points.values())
        assert math.dist((x, y), points[one]) < 120
