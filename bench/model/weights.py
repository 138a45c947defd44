"""The tensors of a checkpoint as the headers of its safetensors files name them; no weight is read.

A safetensors file begins with the length of its header (8 bytes, little-endian) and the header, JSON of name -> dtype,
shape and place of each tensor; the tensors follow end to end.
"""

from __future__ import annotations

import math
from pathlib import Path

from bench.errors import UsageError
from bench.names import unfit
from bench.reading import json_of

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ATTACHED = ("attachment.json", "attachment.safetensors")
"""What is attached to the model, beside its weights (`bench.model.attachments`)."""
_PICKLED = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
_POINTER = b"version https://git-lfs"


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a checkpoint by name.

    Raises:
        UsageError: there are no safetensors, one that the index names is missing, one is not whole, or all are those of
            an adapter; the message names the file and what to do.
    """
    if (folder / "adapter_config.json").is_file():
        raise UsageError(
            f"{folder} holds an adapter, and the model that it adapts lies elsewhere. Merge the two "
            "(merge_and_unload() of peft), save the result and give its directory."
        )
    return {name: shape for file in _files(folder) for name, shape in _read(file).items()}


def count(folder: Path) -> int:
    """How many numbers the tensors of a checkpoint hold; raises as `shapes` does."""
    return sum(map(math.prod, shapes(folder).values()))


def _files(folder: Path) -> list[Path]:
    """The files that hold the weights, as transformers chooses them."""
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        raise UsageError(_without(folder))
    try:
        index = json_of((folder / INDEX).read_bytes())
        names = sorted(set(map(str, index["weight_map"].values())))
        if any(unfit(name) for name in names):
            raise ValueError("a name that leads elsewhere")
    except (ValueError, LookupError, AttributeError, TypeError):
        raise UsageError(f"{folder / INDEX} is no index of weights. Copy or download it again.") from None
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UsageError(
            f"{folder} lacks {len(missing)} of {len(names)} files of weights that its index names, {missing[0]} first. "
            "Copy or download them too."
        )
    return [folder / name for name in names]


def _without(folder: Path) -> str:
    """What is said of a folder that has no safetensors."""
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if not pickled:
        return f"{folder} holds no weights ({WHOLE}). Give the folder that save_pretrained wrote."
    place = repr(str(folder))
    code = f"from transformers import AutoModelForCausalLM as M; M.from_pretrained({place}).save_pretrained({place})"
    return (
        f"{folder} holds pickled weights only ({pickled[0]}), which can run code and are never read. If you trust "
        f'their source, write safetensors beside them: python -c "{code}"'
    )


def _read(file: Path) -> dict[str, tuple[int, ...]]:
    """The header of one file, held against its size."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        if start and _POINTER.startswith(start):
            raise UsageError(f"{file} is a pointer of git-lfs and no weights. In its repository, type: git lfs pull")
        length = int.from_bytes(start, "little")
        said = stream.read(length) if length <= size else b""
    try:
        tensors = {name: about for name, about in json_of(said).items() if name != "__metadata__"}
        found = {name: tuple(map(int, about["shape"])) for name, about in tensors.items()}
        whole = 8 + length + max((int(about["data_offsets"][1]) for about in tensors.values()), default=0)
        if not all(0 <= length < 1 << 63 for shape in found.values() for length in shape):
            raise ValueError("no shape")
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
        raise UsageError(
            f"{file} is no safetensors file, or only the beginning of one ({size:,} bytes). Copy or download it again."
        ) from None
    if whole != size:
        raise UsageError(f"{file} has {size:,} bytes where its header says {whole:,}. Copy or download it again.")
    return found
