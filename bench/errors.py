"""The two errors that a user can mend; the command line prints them without a traceback."""


class BenchError(Exception):
    """Something went wrong that the message explains: exit status 1."""


class UsageError(BenchError):
    """The command line, a declaration or a data file is wrong: exit status 2."""
