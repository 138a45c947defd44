"""What people look at: the leaderboard, the terminal's tables, the picture, a cell in full, two methods, the report.

In: analysed tables (`bench.compare`), and records where one cell is shown. Out: text, JSON, SVG, pages, as values; the
command line writes them. Start at `leaderboard.py`; `terminal.py` is its short form.
"""
