"""The one training loop, and what is trained with it: teaching a model, unlearning from it.

In: a model and encoded pairs. Out: the same model, changed, and its training curve. Start at `loop.py`.
"""
