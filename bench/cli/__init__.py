"""The command line, a file a command. Data goes to stdout, progress and errors to stderr.

In: words. Out: an exit status: 0 done, 1 something failed or diverged, 2 misuse, 130 interrupted. Start at `main.py`.
"""
