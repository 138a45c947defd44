"""Whether a checkpoint can be used, from all that can be known of it without reading its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub.utils.logging as hub_logging
import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from bench.errors import BenchError, UsageError
from bench.model import hub, weights
from bench.model.encoding import Encoding
from bench.model.recipes import tokenizer_of
from bench.model.room import free_bytes
from bench.reading import json_of

# One bar a shard of a model of a few megabytes hides the progress of the run.
transformers_logging.disable_progress_bar()

_WORDS = ("tokenizer.", "vocab", "merges", "spiece", "sentencepiece", "tekken")  # how files of tokenizers begin,
_ENDINGS = (".model", ".tiktoken", ".spm")  # or end
_GB = 1e9


def check(folder: Path) -> None:
    """See that a folder holds a whole causal language model: weights, configuration and tokenizer that fit together.

    Raises:
        UsageError: it does not; one line that says what is wrong and what to do. No weight has been read.
        BenchError: configuration or tokenizer cannot be read.
    """
    tensors = weights.shapes(folder)
    config = load_config(folder)
    check_layers(folder, config)
    check_vocabulary(folder, config, load_tokenizer(folder))
    with readable(folder, "a model of its config.json"):
        check_names(folder, *_fit(config, tensors))


# -- what lies beside the weights ------------------------------------------------------------------------------------


def load_config(path: str | Path) -> PretrainedConfig:
    """The configuration of a checkpoint directory or hub id.

    Raises:
        UsageError: it is that of no causal language model which can be loaded here and trained.
        BenchError: there is none, or it cannot be read.
    """
    with readable(path, "its config.json"):
        local, revision = Path(path).is_dir(), hub.revision(path)
        said = _said(Path(path)) if local else PretrainedConfig.get_config_dict(path, revision=revision)[0]
        kind = said.get("model_type")
        if not kind:
            raise UsageError(f"model '{path}': its config.json names no model_type. {_ANOTHER}")
        if kind not in CONFIG_MAPPING and said.get("auto_map"):
            raise UsageError(
                f"model '{path}': its architecture '{kind}' comes as code of its own (auto_map in config.json), which "
                f"is never run. {_ANOTHER}"
            )
        if kind not in CONFIG_MAPPING:
            raise UsageError(
                f"model '{path}': transformers does not know the model_type '{kind}' of its config.json. "
                "Install a version that does, or check the name."
            )
        if said.get("quantization_config"):
            raise UsageError(
                f"model '{path}' has quantised weights, which cannot be trained. Give the model that it was made from."
            )
        config: PretrainedConfig = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UsageError(f"model '{path}' is no causal language model, its model_type is '{kind}'. {_ANOTHER}")
    return config


_ANOTHER = "Give the directory of another model."


def _said(folder: Path) -> dict[str, Any]:
    """What config.json says."""
    file = folder / "config.json"
    try:
        said = json_of(file.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no config.json. Give the folder that save_pretrained wrote.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read ({first_line(error)}) Copy or download it again.") from None
    if not isinstance(said, dict):
        raise UsageError(f"{file} holds no settings. Copy or download it again.")
    return said


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint directory or hub id.

    Raises:
        UsageError: a directory without one.
        BenchError: not found, not readable, or without an end-of-sequence token.
    """
    folder = Path(path)
    if folder.is_dir() and not any(f.name.startswith(_WORDS) or f.suffix in _ENDINGS for f in folder.iterdir()):
        raise UsageError(
            f"{folder} holds no tokenizer (tokenizer.json). Copy the tokenizer's files into it from the model that it "
            "was trained from."
        )
    with readable(path, "its tokenizer"):
        place = tokenizer_of(str(path))
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            place, revision=hub.revision(place), trust_remote_code=False
        )
    if tokenizer.eos_token_id is None:
        raise BenchError(f"the tokenizer of '{path}' has no end-of-sequence token, so no answer would ever end.")
    return tokenizer


def check_layers(folder: Path, config: PretrainedConfig) -> None:
    """Raise `UsageError` for a configuration with more layers than there are tensors: to build it might never end."""
    parts = [config, *(getattr(config, name, None) for name in config.sub_configs)]
    layers = [n for part in parts if isinstance(n := getattr(part, "num_hidden_layers", None), int)]
    if max(layers, default=0) > (tensors := len(weights.shapes(folder))):
        raise UsageError(
            f"model '{folder}': its config.json asks for more layers than its weights have tensors ({tensors:,}). "
            "Copy or download weights and config.json from one place."
        )


def check_vocabulary(path: str | Path, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise `UsageError` where the tokenizer gives ids for which the model has no embedding.

    Special tokens that no text here is given do not count: the tokenizer of Gemma 3 1B has one for images.
    """
    rows = config.get_text_config(decoder=True).vocab_size
    with readable(path, "its chat template"):
        said = Encoding(tokenizer).prompt("Who?")
    used = {*said, tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special} - used
    beyond = {number: token for token, number in tokenizer.get_vocab().items() if number >= rows}
    if lacking := sorted(beyond.keys() - special):
        raise UsageError(
            f"model '{path}' has {rows:,} embeddings, and its tokenizer {len(tokenizer):,} tokens: "
            f"{beyond[lacking[0]]!r} ({lacking[0]}) has none. Take the tokenizer that belongs to the weights, or call "
            "resize_token_embeddings and train the model with it."
        )


# -- whether the weights are those of the configuration ---------------------------------------------------------------


def _fit(config: PretrainedConfig, tensors: Mapping[str, tuple[int, ...]]) -> tuple[str, dict[str, Any]]:
    """The model's class, and what transformers would say of loading tensors of these names and shapes into it.

    It is given tensors without content, so that it changes names and ties weights just as it will.
    """
    with quiet(), torch.device("meta"):
        built = type(AutoModelForCausalLM.from_config(config))
        empty = {name: torch.empty(shape) for name, shape in tensors.items()}
    with quiet():
        _, info = built.from_pretrained(
            None, config=config, state_dict=empty, device_map={"": "meta"},
            output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    return built.__name__, info


def check_names(path: str | Path, built: str, info: Mapping[str, Any]) -> None:
    """Raise `UsageError` where weights are missing, left over or of another shape, by transformers' loading info."""
    wrong = []
    for name, found, meant in sorted(info["mismatched_keys"])[:1]:
        wrong.append(f"{name} is {list(found)} and should be {list(meant)}")
    for key, words in (("missing_keys", "missing"), ("unexpected_keys", "without a place in it")):
        if names := sorted(info[key]):
            wrong.append(f"{len(names)} {words} ({names[0]} first)")
    if wrong:
        raise UsageError(
            f"model '{path}': its weights are not those of the {built} of its config.json: {'; '.join(wrong)}. "
            "Copy or download weights and config.json from one place."
        )


def check_memory(path: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
    """Raise `BenchError` where the weights take more memory than is free, on the processor's side or on the device."""
    count = weights.count(Path(path)) if Path(path).is_dir() else _counted(str(path))
    need = count * dtype.itemsize
    for where in dict.fromkeys(("cpu", device)):
        if need > (free := free_bytes(where)):
            raise BenchError(
                f"model '{path}': its weights take {need / _GB:.1f} GB in {str(dtype).removeprefix('torch.')}, and "
                f"{free / _GB:.1f} GB of memory are free ({where}). End what else uses it, or take a smaller model or "
                "a larger machine."
            )


def _counted(model: str) -> int:
    """How many weights the hub says that a model has; 0 where it does not say, or only its cache is here."""
    try:
        about = hub.asked(model).safetensors
    except BenchError:
        return 0
    return about.total if about else 0


# -- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def readable(path: str | Path, part: str = "its weights") -> Iterator[None]:
    """Within it, what goes wrong while a part of a checkpoint is read becomes one line that says what to do.

    A hub id is asked for first, once, for transformers would ask again and again.
    """
    if not Path(path).is_dir() and not hub.reached_before(str(path)):
        hub.asked(str(path))
    try:
        with quiet():
            yield
    except BenchError:
        raise
    except torch.OutOfMemoryError as error:
        raise _no_memory(path, "cuda" if torch.cuda.is_available() else "cpu") from error
    except MemoryError as error:
        raise _no_memory(path, "cpu") from error
    except Exception as error:
        if "allocate memory" in str(error):
            raise _no_memory(path, "cpu") from error
        if (behind := hub.cause(error)) is not None:
            raise hub.explained(str(path), behind) from error
        raise BenchError(
            f"model '{path}': {part} cannot be loaded: {first_line(error)} Copy or download it again, or give 'tiny', "
            "'small', a hub id or the directory of a checkpoint with safetensors weights."
        ) from error


def _no_memory(path: str | Path, device: str) -> BenchError:
    return BenchError(
        f"model '{path}': memory ran out while it was loaded, {free_bytes(device) / _GB:.1f} GB are free now "
        f"({device}). End what else uses it, take fewer --workers, or take a smaller model or a larger machine."
    )


def first_line(error: BaseException) -> str:
    """The first line of what an error says, as a sentence; a key or a type alone would say nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    if not said or isinstance(error, LookupError | TypeError):
        said = f"{type(error).__name__} {said}".strip()
    return said if said.endswith((".", "!", "?")) else f"{said}."


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of transformers and of the hub's client: what matters is an error here."""
    before = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before[0])
        hub_logging.set_verbosity(before[1])


def check_finite(path: str | Path, model: PreTrainedModel) -> None:
    """Raise `BenchError` for the first weight that is no number."""
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise BenchError(
                f"model '{path}': {bad:,} of {value.numel():,} numbers of {name} are NaN or infinite. Copy or download "
                "it again; if it was saved so, its training has diverged."
            )
