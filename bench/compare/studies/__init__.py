"""Tasks that are looked at together: requests one after another, forget sets of many sizes. Start at `study.py`."""
