"""One pass over texts and prompts, exact and without repeated work.

In: a model and a task's probes. Out: `Rows`. Start at `one_pass.py`; `texts.py` scores, `prompts.py` completes.
"""
