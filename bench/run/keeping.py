"""Models on disk: what a cell keeps of one, and that what is measured is what was kept.

A model lives twice: as it left its method, and as it is read from the cache by whoever measures it next. A hook, a
wrapper or a replaced function is in no file and would be measured the first time only. So whatever a method returns is
written and read again before the first measurement, and is refused where that makes another model of it.
"""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from bench.contracts import Encoded
from bench.errors import BenchError
from bench.model import models
from bench.model.models import LM
from bench.reading import json_of
from bench.train.batches import answer_logps

KEEP_BELOW = 1 << 30
"""Unlearned models of at most this many bytes are kept in the cache; larger ones only live as long as their cell."""
HEARD = 4
"""Items of each set by whose answers a model is known again."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_REMEDY = (
    "It would be measured with it once and never again. What a method learns belongs into the weights; what acts "
    "beside them is declared with bench.api.attachment and put on with bench.model.attachments.attach"
)

Built = Mapping[str, tuple[str, int]]
"""Module name -> its kind, and how many things on it are in no file."""


def built(model: nn.Module) -> Built:
    """How a model is put together: the kind of each module, and how many hooks and functions of its own it has.

    Hooks of transformers, which once asked for hidden states leaves those that collect them, do not count.
    """
    return {
        name: (type(module).__name__, sum(map(_is_foreign, _hooks(module))) + ("forward" in vars(module)))
        for name, module in model.named_modules()
    }


def _hooks(module: nn.Module) -> list[object]:
    return [hook for kind in _HOOKS for hook in vars(module)[kind].values()]


def _is_foreign(hook: object) -> bool:
    return not str(getattr(hook, "__module__", "")).startswith("transformers.")


def refuse_foreign(method: str, found: Built, expected: Built) -> None:
    """Raise `BenchError` where a model is put together otherwise than `expected`."""
    odd = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    if not odd:
        return
    kind, extras = found.get(odd[0], ("missing", 0))
    what = "a hook or a function of its own" if extras else f"the module {odd[0] or 'itself'} ({kind})"
    where = f"{odd[0]} ({kind})" if odd[0] else kind
    raise BenchError(
        f"{method}: its model has {what}{f' on {where}' if extras else ''}, which no file of weights holds. {_REMEDY}."
    )


def about_kept(folder: Path) -> dict[str, Any]:
    """What was written of a model beside it; raises `BenchError` where that cannot be read."""
    return described(folder / "bench.json", f"Remove {folder}; its model is then made again.")


def described(file: Path, remedy: str) -> dict[str, Any]:
    """A file of this program that says how something was made.

    Raises:
        BenchError: it is not there, or not as it was written.
    """
    try:
        told = json_of(file.read_bytes())
        if not isinstance(told, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        raise BenchError(f"{file} cannot be read: {error}. {remedy}") from None
    return told


def keep(lm: LM | None, folder: Path, about: dict[str, Any]) -> None:
    """Write a model, or only what is known of one, under its key in one move: another process sees all or nothing."""
    _written(lm, folder, about, lambda temporary: None, stays=True)


def reloaded(
    method: str,
    lm: LM,
    folder: Path,
    about: dict[str, Any],
    items: Sequence[Encoded],
    load: Callable[[Path], LM],
    *,
    always: bool,
) -> LM:
    """The model that a method returned, as it is on disk: kept in `folder` if it is small, else in passing.

    Args:
        items: by whose answers it is known again.
        always: large ones too; else these, whose modules were seen to be their own, are given back as they are.

    Raises:
        BenchError: what is read is another model.
    """
    small = sum(p.numel() * p.element_size() for p in lm.model.parameters()) <= KEEP_BELOW
    if not small and not always:
        return lm
    said, found, found_again = answer_logps(lm, items), built(lm.model), list[LM]()

    def read(temporary: Path) -> None:
        if not small:
            lm.model.to("meta")  # memory need not hold it twice
        try:
            again = load(temporary)
        except BenchError as error:
            raise BenchError(f"{method}: its model was written, but cannot be read again: {error}") from error
        refuse_foreign(method, found, built(again.model))
        _refuse_other_answers(method, said, answer_logps(again, items))
        found_again.append(again)

    _written(lm, folder, about, read, stays=small)
    return found_again[0]


def _refuse_other_answers(method: str, before: Tensor, after: Tensor) -> None:
    same = torch.isclose(before, after, rtol=1e-4, atol=1e-3, equal_nan=True)
    if not bool(same.all()):
        worst = int((before - after).abs().nan_to_num(torch.inf).masked_fill(same, 0).argmax())
        raise BenchError(
            f"{method}: its model answers otherwise once it is written and read again (log-probability of an answer "
            f"{float(before[worst]):.4f}, then {float(after[worst]):.4f}): part of it is in no file. {_REMEDY}."
        )


def _written(lm: LM | None, folder: Path, about: dict[str, Any], look: Callable[[Path], None], *, stays: bool) -> None:
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        if lm is not None:
            models.save(lm, temporary)
        (temporary / "bench.json").write_text(json.dumps(about), encoding="utf-8")
        look(temporary)
        if stays:
            temporary.rename(folder)
    except (OSError, SafetensorError) as error:
        if folder.is_dir():
            return
        full = getattr(error, "errno", None) == errno.ENOSPC or f"os error {errno.ENOSPC}" in str(error)
        remedy = "Free some space" if full else "See that it is there and may be written"
        raise BenchError(
            f"cannot write {folder}: {getattr(error, 'strerror', None) or error}. {remedy}, or name another place with "
            "--cache DIR. What is finished is kept."
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
