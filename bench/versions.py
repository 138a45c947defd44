"""Versions of the program's own steps, part of the content keys: raise one when its step changes what comes out."""

TRAIN = 1
MEASURE = 1
