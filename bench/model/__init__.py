"""What a model is and where its parts are: recipes, loading, encoding, layers, head.

In: a name, a hub id or a directory. Out: an `LM`. Start at `models.py`.
"""
