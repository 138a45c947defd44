"""Versions of the program's own steps, part of the content keys: raise one when its step changes what comes out."""

TRAIN = 1
MEASURE = 1
SCORE = 2
"""How intervals are made: over clusters, then items."""
ANALYSIS = 5
"""How seeds are pooled and methods compared; part of the key of what `bench.compare.analysis` keeps."""
