"""The one way a part fails: what was found, and what its author can do."""


class Unmet(AssertionError):
    """A part does not keep its contract; the message says what to do."""
