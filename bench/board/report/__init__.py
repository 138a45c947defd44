"""The report: the leaderboard as a page with figures and the answers behind the numbers, for a browser offline.

DIR/index.html      tables, figures, rules, what was left out
DIR/figures/*.svg   one figure a file
DIR/cells/*.js      one cell a file: curves, parameters, items; read when a cell is opened
DIR/assets/         style, script, and DataTables, which makes tables sortable
"""

from bench.board.report.page import write

__all__ = ["write"]
