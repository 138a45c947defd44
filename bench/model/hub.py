"""What the hub knows of a model, and where it does not answer, why and what to type."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

PATIENCE = 10
"""Seconds that a question to the hub may take. It is asked once: transformers asks six times before it gives up."""


@cache
def asked(model: str) -> ModelInfo:
    """What the hub says of a model now: its commit, its files. A gated one is asked for access as well.

    Raises:
        UsageError: the name is no hub id.
        BenchError: there is no such model, it is gated, or the hub does not answer; the message says what to type.
    """
    from huggingface_hub import auth_check, model_info

    try:
        info = model_info(model, timeout=PATIENCE)
        if info.gated:
            auth_check(model)
    except Exception as error:
        raise explained(model, error) from None
    return info


TOKENIZERS = {"tokenizer.json", "tokenizer.model", "tokenizer_config.json"}


class Repository(NamedTuple):
    """A model as the hub has it: the commit and the names of the files there."""

    revision: str | None
    files: frozenset[str]


@cache
def known(model: str) -> Repository:
    """What the hub has of a model now; where it does not answer, what its cache on this machine has.

    Raises:
        BenchError: neither; the message says what to type.
    """
    try:
        found = asked(model)
        return Repository(found.sha, frozenset(file.rfilename for file in found.siblings or ()))
    except BenchError:
        kept = next((path for name in ("config.json", *sorted(TOKENIZERS)) if (path := _cached(model, name))), None)
        if kept is None:
            raise
        return Repository(kept.parent.name, frozenset(path.name for path in kept.parent.iterdir()))


def revision(model: str | Path) -> str:
    """The commit of a model that is in its key, for all that is fetched of it; of a directory transformers' default."""
    return "main" if Path(model).is_dir() else known(str(model)).revision or "main"


def check(model: str) -> None:
    """Raise `BenchError` where the hub cannot be asked for a model, or has no weights of it that are read here."""
    names = sorted(known(model).files)
    if not any(name.endswith(".safetensors") for name in names):
        raise BenchError(
            f"model '{model}': the hub has {', '.join(n for n in names if '.' in n[1:])[:120] or 'no files'} of it and "
            "no safetensors weights, and no other weights are read. Give a model that has them, or convert a copy and "
            "give its directory."
        )


@cache
def file(model: str, name: str) -> Path | None:
    """A small file of a model of the hub; None where it has none of that name.

    Raises:
        BenchError: the hub does not give it; the message says what to type.
    """
    from huggingface_hub import hf_hub_download

    if name not in known(model).files:
        return None
    try:
        return Path(hf_hub_download(model, name, revision=known(model).revision))
    except Exception as error:
        raise explained(model, error) from None


def has(model: str, name: str) -> bool:
    """Whether a directory, or a model of the hub, has a file of that name."""
    return (Path(model) / name).is_file() if Path(model).is_dir() else name in known(model).files


def reached_before(model: str) -> bool:
    """Whether files of a model lie in the hub's cache on this machine."""
    return _cached(model, "config.json") is not None


def _cached(model: str, name: str) -> Path | None:
    """A file of a model in the hub's cache, in the folder of its commit."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(model, name)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def explained(model: str, error: BaseException) -> BenchError:
    """What a client of the hub ran into, with what to do about it."""
    from huggingface_hub import errors

    name = f"model '{model}'"
    page = f"https://huggingface.co/{model}"
    copy = f"or fetch it elsewhere (hf download {model} --local-dir DIR) and give DIR in its place."
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{name}: there is no such directory, and no hub id is written like this (OWNER/NAME).")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return BenchError(f"{name} is no directory here, and HF_HUB_OFFLINE forbids to ask the hub. Unset it, {copy}")
    if isinstance(error, errors.GatedRepoError):
        return BenchError(f"{name} is gated: accept its terms at {page}, then type: hf auth login")
    if isinstance(error, errors.RepositoryNotFoundError):
        return BenchError(
            f"{name} is no directory here, and the hub has none of that name that you may see. Check the name at "
            f"{page}; if it is private, type: hf auth login"
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return BenchError(
            f"{name}: the hub refuses access ({status}). Type: hf auth login, with a token that may read {page}"
        )
    if status is not None:
        return BenchError(f"{name}: the hub answers with an error ({status}). Try again later, {copy}")
    return BenchError(
        f"{name} is no directory here, and the hub cannot be reached ({type(error).__name__}). Check the connection "
        f"and HF_ENDPOINT, {copy}"
    )


def cause(error: BaseException) -> BaseException | None:
    """The hub's own error behind one of transformers, which hands on what went wrong as text; None if it is no such."""
    from huggingface_hub import errors

    own = (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, errors.HFValidationError)
    at: BaseException | None = error
    while at is not None and not isinstance(at, own):
        at = at.__cause__ or at.__context__
    return None if isinstance(at, errors.RemoteEntryNotFoundError) else at
