"""Where things were before the house had rooms: for keys that must not change, and for files that still import them.

Content keys hold the source of a method's own files, import lines included. These lines name other places now, the
code they import is what it was, and so finished cells stay finished: `bench.keys.source_hash` reads them as they were.
"""

from __future__ import annotations

FORMER = {
    "bench.contracts.Context": "bench.train",
    "bench.contracts.Step": "bench.train",
    "bench.contracts.Encoded": "bench.models",
    "bench.contracts.LM": "bench.models",
    "bench.model.architecture": "bench.architecture",
}
"""What a method's file may import, a name or a whole module, and the module that had it."""


def former(module: str, name: str) -> str:
    """The module that once held what `from module import name` imports now."""
    return FORMER.get(f"{module}.{name}", FORMER.get(module, module))


def hint(module: str, names: list[str]) -> str:
    """Where names of a module that has moved are imported from now; "" where nothing is known of them."""
    said = []
    for now, was in FORMER.items():
        if was == module and (now.startswith("bench.contracts.") or not names):
            place, _, name = now.rpartition(".")
            said += [f"from {place} import {name}"] if name in names or not names else []
        elif was == module:
            said.append(f"from {now} import {', '.join(names)}")
    return " and ".join(dict.fromkeys(said))
