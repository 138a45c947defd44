"""A grid from plan to records: what is to be done, in which order, by whom.

In: methods, tasks, seeds. Out: a record a cell in the results directory. Start at `plan.py`; `cell.py` makes
one cell.
"""
