"""Intervals, two-sample tests, curves and ranks on plain arrays. Numpy and scipy only.

In: arrays, items on the last axis. Out: numbers. Start at `jackknife.py`.
"""
