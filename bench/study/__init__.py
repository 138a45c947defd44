"""Studies of one method: SIMU's ablations and what its neurons are.

In: records and targets. Out: a table and a figure. Start at `ablate.py`.
"""
