"""One metric a file; files that start with _ hold what several share. No torch.

In: `Rows`. Out: item values, and a number of them. Start at `model_utility.py`, then `_forms.py`.
"""
