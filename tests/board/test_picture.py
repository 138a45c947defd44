"""The picture of a board: the same bytes each time, every method named beside its point, anchors drawn."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from bench.api import Score
from bench.board import picture
from bench.compare.analysis import analyse
from tests.board.conftest import controls

CONTROLS = controls(0)


def table(board, *more):
    """One table of planted models."""
    (found,) = analyse(*board(*CONTROLS, *more))
    return found


def test_every_row_is_named_in_text_and_the_bytes_repeat(board):
    tables = [table(board, ("a", 0, 0.2, 0.9), ("b$c_", 0, 0.6, 0.9))]
    drawn = picture.svg(tables)
    assert drawn == picture.svg(tables)
    said = "".join(ElementTree.fromstring(drawn).itertext())
    assert all(word in said for word in ("target", "retrain", "b$c_", "tofu:forget10, embedded world, one seed"))


def test_a_row_without_one_of_the_numbers_has_no_place(board):
    found = table(board, ("a", 0, 0.2, 0.9))
    row = next(row for row in found.rows if row.method == "a")
    assert picture.place(found, row)[0].value == row.scores["erased"].value
    row.scores["kept"] = Score(None)
    assert picture.place(found, row) is None
    assert picture.shown([found]) == [found]


def test_retrain_of_one_seed_stands_where_it_is_by_definition(board):
    found = table(board, ("a", 0, 0.2, 0.9))
    spots = [picture.place(found, found.row(name)) for name in ("target", "retrain")]
    assert spots[0][0].value == 0 and spots[0][1].value == 1
    assert spots[1] == (picture.Span(1, 1, 1), picture.Span(1, 1, 1))


def test_labels_lie_off_each_other_and_off_the_points():
    points = {f"method-{i}": (150.0 + 4 * i, 160.0 - 3 * i) for i in range(6)}
    spots = picture.labels(points)
    wide = len("method-0") * picture.LETTER
    for one, (x, y) in spots.items():
        for other, (u, v) in spots.items():
            assert one == other or abs(x - u) >= wide or abs(y - v) >= picture.LINE
        assert all(abs(x - u) > wide / 2 or abs(y - v) > picture.LINE / 2 for u, v in points.values())
        assert math.dist((x, y), points[one]) < 120
