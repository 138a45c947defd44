"""What people look at: the leaderboard, a cell in full, two methods compared, the report.

In: analysed tables (`bench.compare`). Out: text, JSON, pages. Start at `leaderboard.py`.
"""
