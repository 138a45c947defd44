"""From scores to statements: intervals over seeds, paired tests, the trade-off, ranks.

In: the records and item tables of a results directory. Out: `Table`s, which the board shows. Start at `analysis.py`.
"""
