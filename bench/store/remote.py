"""A results directory that lies where no path leads, such as s3://bucket/results: mirrored in a folder of this machine.

Everything reads and writes the mirror. `pull` brings what is new from afar, `push` sends what is new here, `fetch`
brings one thing by name, such as rows or a model. A model is one object afar, so that nobody sees half of one.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, cast

from bench.errors import BenchError, UsageError
from bench.keys import digest
from bench.store import claims, files

NOTE = ".remote.json"
"""What a mirror is known by: its URL, and of each file how it was when both sides last had the same."""
CACHE = "cache"
"""Models and masks, beside the results."""
MODELS = f"{CACHE}/models"
LARGE = ("rows", CACHE)
"""Folders of which only what is asked for is brought."""
STAYS = ("running", "analysis", MODELS, f"{CACHE}/unfinished")
"""Folders that no walk sends: of this machine, made anew, or sent as one object."""
WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
"""Stores where a file appears when all of it has arrived; elsewhere it arrives under another name first."""
PART = ".part"
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""The extra of this program that reads a kind of place; for others fsspec says which package does."""
WAIT = 0.05


def mirror(url: str) -> Path:
    """The folder of this machine that stands for a URL, under XDG_CACHE_HOME; nothing is brought yet.

    Raises:
        UsageError: a kind of place that nobody knows, or whose package is not installed.
        BenchError: the folder cannot be written.
    """
    _opened(url)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "unlearning-bench" / digest(url.rstrip("/"))
    if not (folder / NOTE).is_file():
        with files.atomically(folder / NOTE) as temporary:
            temporary.write_text(json.dumps({"url": url, "files": {}}), encoding="utf-8")
    return folder


def of(path: Path) -> Remote | None:
    """The remote place whose mirror a path lies in; None of every other path."""
    folder = next((p for p in (path, *path.parents) if (p / NOTE).is_file()), None)
    return Remote(folder) if folder else None


def pull(results: Path, under: str = "") -> None:
    """See `Remote.pull`; nothing of a directory that is no mirror."""
    if far := of(results):
        far.pull(under)


def push(results: Path) -> None:
    """See `Remote.push`; nothing of a directory that is no mirror."""
    if far := of(results):
        far.push()


def knock(results: Path) -> None:
    """Raise where nothing can be written afar, before anything is made for it.

    Raises:
        BenchError: why.
    """
    if far := of(results):
        far.write(name := f"{claims.FOLDER}/knock", b"")
        far.remove(name)


def fetched(path: Path) -> bool:
    """Whether a file or a model is there, or was brought from afar now."""
    return path.exists() or ((far := of(path)) is not None and far.fetch(path))


class Remote:
    """What lies afar, and its mirror."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = str(_note(folder)["url"])
        self._files, self._root = _opened(self.url)

    def pull(self, under: str = "") -> None:
        """Bring what is new afar; what was changed here since then stands until it is sent.

        Args:
            under: only what lies in that folder; by default everything but what is `LARGE`.

        Raises:
            BenchError: it cannot be read.
        """
        with self._known() as known, self._said("read"):
            for name, mark in self._listed(under).items():
                here, before = self.folder / name, known.get(name)
                own = _own(here)
                if own and (before is None or own != before[:2] or mark == before[2]):
                    continue
                self._get(name)
                known[name] = [*cast(list[int], _own(here)), mark]

    def push(self) -> None:
        """Send what is new here: models, then files, records last, so that none stands afar without its items.

        Nothing afar is removed.

        Raises:
            BenchError: it cannot be written.
        """
        with self._known() as known, self._said("written"):
            for folder in sorted((self.folder / MODELS).glob("[!.]*")):
                if (name := f"{MODELS}/{folder.name}") not in known:
                    self._send(folder, f"{name}.zip")
                    known[name] = []
            for here in sorted(self._here(), key=lambda path: (path.suffix == ".json", path)):
                name = here.relative_to(self.folder).as_posix()
                own = _own(here)
                if own and own != known.get(name, [])[:2]:
                    self._put(here, name)
                    known[name] = [*own, _mark(self._files.info(f"{self._root}/{name}"))]

    def fetch(self, path: Path) -> bool:
        """Bring one file, or one model's folder; whether it lies afar."""
        name = path.relative_to(self.folder).as_posix()
        model = path.parent == self.folder / MODELS
        far = f"{self._root}/{name}{'.zip' if model else ''}"
        with self._said("read"):
            if not self._files.exists(far):
                return False
            if not model:
                self._get(name)
                return True
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as temporary:
                packed, folder = Path(temporary, "packed"), Path(temporary, "model")
                self._files.get_file(far, str(packed))
                zipfile.ZipFile(packed).extractall(folder)
                if not path.is_dir():
                    folder.rename(path)
        with self._known() as known:
            known[name] = []
        return True

    def create(self, name: str, content: bytes) -> bool:
        """Write a small file afar that only one can be the first to write; whether this was the first.

        Raises:
            BenchError: it cannot be written.
        """
        with self._said("written"):
            place = self._placed(name)
            try:
                with self._files.open(place, "xb") as file:
                    file.write(content)
            except FileExistsError:
                return False
        return True

    def write(self, name: str, content: bytes) -> None:
        """Write a small file afar.

        Raises:
            BenchError: it cannot be written.
        """
        with self._said("written"), self._files.open(self._placed(name), "wb") as file:
            file.write(content)

    def written(self, name: str) -> tuple[bytes, float] | None:
        """What a small file afar says and when it was written, in seconds since 1970; None where there is none.

        Raises:
            BenchError: it cannot be read.
        """
        self._files.invalidate_cache()
        with self._said("read"), suppress(FileNotFoundError):
            place = f"{self._root}/{name}"
            return self._files.cat_file(place), self._files.modified(place).timestamp()
        return None

    def remove(self, name: str) -> None:
        """Remove a small file afar, if it is there and may be removed."""
        with suppress(Exception):
            self._files.rm_file(f"{self._root}/{name}")

    def _send(self, folder: Path, name: str) -> None:
        """Send a model's folder as one object; under its key there is no other, so one that is there stays."""
        if self._files.exists(f"{self._root}/{name}"):
            return
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sent.") as temporary:
            packed = Path(temporary, "packed")
            with zipfile.ZipFile(packed, "w") as archive:
                for file in sorted(folder.iterdir()):
                    archive.write(file, file.name)
            self._put(packed, name)

    def _listed(self, under: str) -> dict[str, str]:
        """Marks of the files afar by name; those of `cache` itself without what lies deeper."""
        self._files.invalidate_cache()
        start = f"{self._root}/{under}".rstrip("/")
        depth = 1 if under == CACHE else None
        found = self._files.find(start, maxdepth=depth, detail=True) if self._files.isdir(start) else {}
        marks = {path[len(self._root) :].lstrip("/"): _mark(info) for path, info in found.items()}
        return {name: mark for name, mark in marks.items() if _wanted(name, under)}

    def _here(self) -> Iterator[Path]:
        """Files of the mirror that are to be sent."""
        for place, folders, names in os.walk(self.folder):
            inside = Path(place).relative_to(self.folder)
            folders[:] = [f for f in folders if not f.startswith(".") and (inside / f).as_posix() not in STAYS]
            yield from (Path(place, name) for name in names if not name.startswith("."))

    def _get(self, name: str) -> None:
        with files.atomically(self.folder / name) as temporary:
            self._files.get_file(f"{self._root}/{name}", str(temporary))

    def _put(self, here: Path, name: str) -> None:
        to = self._placed(name)
        if self._whole():
            self._files.put_file(str(here), to)
        else:
            self._files.put_file(str(here), to + PART)
            self._files.mv(to + PART, to)

    def _placed(self, name: str) -> str:
        """Where a name lies afar; its folder is there then."""
        to = f"{self._root}/{name}"
        if not self._whole():  # stores of objects have no folders, and would be asked for a bucket of that name
            self._files.makedirs(to.rpartition("/")[0], exist_ok=True)
        return to

    def _whole(self) -> bool:
        return self.url.partition("://")[0] in WHOLE

    @contextmanager
    def _known(self) -> Iterator[dict[str, list[Any]]]:
        """What both sides last had the same, by name: held by one process at a time, and kept however it ends."""
        while True:
            with claims.claimed(self.folder / claims.FOLDER / "mirror", stays=True) as mine:
                if mine:
                    note = _note(self.folder)
                    before = json.dumps(note)
                    try:
                        yield note["files"]
                    finally:
                        if (after := json.dumps(note)) != before:
                            with files.atomically(self.folder / NOTE) as temporary:
                                temporary.write_text(after, encoding="utf-8")
                    return
            time.sleep(WAIT)

    @contextmanager
    def _said(self, done: str) -> Iterator[None]:
        """Whatever a store raises, in words."""
        try:
            yield
        except BenchError:
            raise
        except Exception as error:
            raise BenchError(
                f"{self.url} cannot be {done}: {str(error) or type(error).__name__}. What is finished is kept in "
                f"{self.folder} and sent by the next run."
            ) from error


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the place in it."""
    from fsspec.core import url_to_fs

    try:
        found, root = url_to_fs(url)
    except ImportError as error:
        extra = EXTRAS.get(url.partition("://")[0], "")
        how = f"Type: python -m pip install 'unlearning-bench[{extra}]'" if extra else str(error)
        raise UsageError(f"--results {url}: the package for such places is not installed. {how}") from error
    except ValueError as error:
        raise UsageError(
            f"--results {url}: {error}. Name a directory, or a URL that fsspec knows, such as s3://BUCKET/results."
        ) from error
    return found, root.rstrip("/")


def _note(folder: Path) -> dict[str, Any]:
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        if not isinstance(note["url"], str) or not isinstance(note["files"], dict):
            raise ValueError("it says of no URL")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BenchError(f"{folder / NOTE} cannot be read: {error}. Remove {folder}: it is brought again.") from None
    return cast(dict[str, Any], note)


def _wanted(name: str, under: str) -> bool:
    """Whether a file afar belongs into the mirror: none whose name would lead out of it, or that is not all there."""
    parts = PurePosixPath(name).parts
    sound = bool(parts) and not any(part.startswith(".") or "\\" in part for part in parts)
    return sound and not name.endswith(PART) and (bool(under) or parts[0] not in (*LARGE, *STAYS))


def _own(path: Path) -> list[int] | None:
    """What tells a file here from what it was before."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]


def _mark(info: dict[str, Any]) -> str:
    """What tells a file afar from what it was before."""
    said = (info[name] for name in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created") if info.get(name))
    return f"{info['size']} {next(said, '')}"
