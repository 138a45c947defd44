"""Rows to item tables, item tables to scores with intervals; other people's logs by the same way. No torch.

In: `Rows` or a log. Out: `Score`s. Start at `scoring.py`.
"""
