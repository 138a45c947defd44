"""How the models that are trained from scratch are shaped and taught."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

from bench.errors import UsageError
from bench.model import hub, weights
from bench.model.pairs import tokenizer_beside


@dataclass(frozen=True)
class Teaching:
    """One run of supervised training: AdamW, decay of the learning rate to zero after a linear warm-up."""

    epochs: int
    lr: float
    batch_size: int = 32
    warmup: float = 0.05
    weight_decay: float = 0.01
    beta2: float = 0.999
    autocast: bool = False  # bfloat16 forward and backward
    decay: Literal["cosine", "linear"] = "cosine"

    def ingredients(self) -> dict[str, Any]:
        """What of it goes into content keys. The cosine is unsaid: the first were made when there was no other."""
        said = dataclasses.asdict(self)
        return {name: value for name, value in said.items() if (name, value) != ("decay", "cosine")}


@dataclass(frozen=True)
class Scratch:
    """A Llama trained from scratch: `base` teaches general language and facts, `finetune` the task's own data."""

    doc: str
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    vocab_size: int
    base: Teaching
    finetune: Teaching
    max_length: int = 1024
    initializer_range: float = 0.02
    on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # benchmark -> fields that differ there


SCRATCH = {
    "tiny": Scratch(
        "Llama of about a million parameters, for the embedded world: half a minute a model on one core",
        hidden_size=128,
        intermediate_size=768,
        layers=2,
        heads=8,
        vocab_size=2048,
        initializer_range=0.1,
        base=Teaching(epochs=5, lr=3e-3, beta2=0.95),
        finetune=Teaching(epochs=12, lr=3e-3, beta2=0.95),
        # Who is to answer from documents must have learnt by heart what was asked of others.
        on={"muse": {"base": Teaching(epochs=15, lr=3e-3, beta2=0.95)}},
    ),
    "small": Scratch(
        "Llama for the real data, of 4 million parameters (TOFU) or 2 (LUME): 15 to 25 minutes a model on one core",
        hidden_size=256,
        intermediate_size=688,
        layers=4,
        heads=4,
        vocab_size=4096,
        base=Teaching(epochs=25, lr=2e-3, autocast=True),
        finetune=Teaching(epochs=25, lr=2e-3, autocast=True),
        on={
            # LUME's outputs follow long documents, of which the model above learnt a tenth in 25 epochs; two layers
            # that start with larger weights learn them sooner.
            "lume": {
                "hidden_size": 192,
                "intermediate_size": 768,
                "layers": 2,
                "heads": 8,
                "initializer_range": 0.1,
                "finetune": Teaching(epochs=30, lr=3e-3, beta2=0.95, autocast=True),
            }
        },
    ),
}

PRETRAINED = Teaching(epochs=5, lr=1e-5, warmup=0.2, decay="linear")
"""How a pretrained model is fine-tuned: TOFU's own settings for Llama 2, and open-unlearning's (arXiv:2401.06121).

Five epochs in batches of 32 at 1e-5, decay of weights 0.01, a warm-up of one epoch, then linear decay.
"""


def scratch(model: str, task: str) -> Scratch | None:
    """The recipe of a model that is trained from scratch, as it is for the benchmark of a task; None of another."""
    recipe = SCRATCH.get(model)
    differ = recipe and next((recipe.on[part] for part in task.split(":") if part in recipe.on), {})
    return recipe and dataclasses.replace(recipe, **(differ or {}))


def finetuning(model: str, task: str) -> Teaching:
    """How target and retrain are fine-tuned from the base."""
    recipe = scratch(model, task)
    return recipe.finetune if recipe else PRETRAINED


def model_identity(model: str, task: str) -> dict[str, Any]:
    """What the base of a model is made from: a recipe, the content of a checkpoint, or a hub id with its revision.

    Raises:
        UsageError: no such model, or a folder that holds no whole one.
        BenchError: the hub has no such model or does not answer; the message says what can be typed instead.
    """
    if recipe := scratch(model, task):
        said = {k: v for k, v in dataclasses.asdict(recipe).items() if k not in ("doc", "finetune", "on")}
        return {**said, "base": recipe.base.ingredients()}
    return checkpoint_identity(model)


def checkpoint_identity(model: str) -> dict[str, Any]:
    """The content of a checkpoint, or a hub id with its revision; its tokenizer's where that lies elsewhere.

    Raises:
        UsageError: neither a directory nor a hub id, or a folder that holds no whole model.
        BenchError: a hub id that cannot be resolved; the message says what can be typed instead.
    """
    from bench.model.encoding import DATE_FORMAT, TODAY
    from bench.model.families import of_files

    told: dict[str, Any] = {"date of prompts": TODAY.strftime(DATE_FORMAT)}
    if (folder := Path(model)).is_dir():
        family = of_files(lambda name: folder / name if (folder / name).is_file() else None)
        return {"checkpoint": _content(folder.resolve()), **told, **family.added()}
    refuse_unknown(model)
    hub.check(model)
    if (tokenizer := tokenizer_of(model)) != model:
        told["tokenizer"] = {"hub": tokenizer, "revision": hub.known(tokenizer).revision}
    family = of_files(partial(hub.file, tokenizer))
    return {"hub": model, "revision": hub.known(model).revision, **told, **family.added()}


def tokenizer_of(model: str) -> str:
    """Where the tokenizer of a model lies: with the model, or where a known pair without one says."""
    beside = "" if Path(model).is_dir() else tokenizer_beside(model)
    return beside if beside and not hub.known(model).files & hub.TOKENIZERS else model


def refuse_unknown(model: str) -> None:
    """Raise `UsageError` for what is no model from scratch, no directory, and not even written like a hub id."""
    if not (model in SCRATCH or "/" in model or Path(model).is_dir()):
        raise UsageError(f"no model '{model}'. Give {', '.join(SCRATCH)}, a hub id, or the directory of a checkpoint.")


def model_label(model: str) -> str:
    """The name of a model in records.

    Of a checkpoint it is the folder's, for the path belongs to one machine, and 8 digits of a digest of its content,
    for two folders may have one name and must not share records.
    """
    if model in SCRATCH or not Path(model).is_dir():
        return model
    from bench.keys import digest

    folder = Path(model).resolve()
    return f"{folder.name}-{digest(_content(folder))[:8]}"


_UNREAD = (".md", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".log", ".png")
"""What a checkpoint may hold that loading it never reads: pages, pickled weights, those of other frameworks."""


@cache
def _content(folder: Path) -> dict[str, str]:
    """Digest of every file of a checkpoint that may change ids or logits: weights, configuration, tokenizer, templates.

    Whatever is not known to be left unread counts, for tokenizers keep their words under many names. A folder
    without whole weights is refused.
    """
    weights.shapes(folder)
    places = (folder, folder / "additional_chat_templates")
    files = sorted(path for place in places if place.is_dir() for path in place.iterdir() if path.is_file())
    read = [path for path in files if path.suffix not in _UNREAD and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): _file_hash(path) for path in read}


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
