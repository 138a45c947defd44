"""What every method, task, metric and attack must satisfy, each demand with what its author can do where it is not met.

In: a declared name. Out: nothing, or the demand that it does not meet. Start at `of_method.py`; methods are judged on
the toy of `toy.py`.
"""
