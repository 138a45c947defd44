"""Readers of what other people and machines hand us, given what nobody would write on purpose.

In every run each property sees a few dozen cases, the same ones every time. For hours of new ones:

    FUZZ_EXAMPLES=20000 python -m pytest tests/fuzz -n 0

What is found is mended and kept beside its property, as an `@example` or as a test of its own.
"""
