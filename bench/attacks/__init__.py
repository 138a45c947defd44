"""Attacks on an unlearned model, one a file; `_` starts what several share.

In: a `Subject` (the model, target and retrain, what is asked). Out: `Reading`s, how much each forget item is known
where. Start at `_subject.py`, then `rounding.py`.
"""
