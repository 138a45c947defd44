"""Names that become files and folders: which can, and which would lead elsewhere."""

from __future__ import annotations

import unicodedata

LONGEST = 200
"""Bytes of a name; file systems take 255, and endings and temporary names come behind it."""
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories of control characters, halves of surrogate pairs, and separators of lines and paragraphs."""


def unfit(name: str) -> str:
    """Why no file or folder is to be called so; "" if it can be."""
    if not name:
        return "it is empty"
    if name.startswith("."):
        return "it begins with a dot"
    if odd := next((c for c in name if c in "/\\" or unicodedata.category(c) in _UNSEEN), ""):
        return f"it has {odd!a} in it"
    if (size := len(name.encode())) > LONGEST:
        return f"it takes {size} bytes, and {LONGEST} are the most"
    return ""
