"""Versions of the program's own steps, part of the content keys: raise one when its step changes what comes out."""

TRAIN = 1
MATCHED = 1
"""How the point is found at which as much is forgotten as under retrain."""
MEASURE = 1
ATTACKS = 1
"""What attacks ask of which items, and how what is known of an answer is read."""
SCORE = 3
"""How intervals are made: by leaving out clusters."""
ANALYSIS = 8
"""How seeds are pooled and methods compared; part of the key of what `bench.compare.analysis` keeps."""
STUDIES = 3
"""Version of how series of tasks are looked at together."""
