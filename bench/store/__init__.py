"""The files of a results directory and their schemas: records, item tables, rows. No torch.

In: values. Out: files, written whole or not at all, and back. Start at `files.py`.
"""
