"""Blobs as files of one folder; key `a/b` is the file `a/b`. Not a cache and not a database: it
keeps nothing in memory and writes no file but the blobs."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from flk.errors import StorageError
from flk.spi.store import Store, check_key, is_key
from flk.world import Files, World

__all__ = ["FileStore"]

_CURES = {
    errno.ENOSPC: "Free some space on that disk and try again",
    errno.EDQUOT: "Ask for a larger quota on that disk, or free some of it",
    errno.EACCES: "Give this user the right to read and write there",
    errno.EPERM: "Give this user the right to read and write there, on a disk with hard links",
    errno.EROFS: "Choose a folder on a disk that can be written",
    errno.EIO: "Check that disk, its medium may be broken",
    errno.ENOTDIR: "Remove the file that stands where a folder is needed, or use another key",
    errno.EISDIR: "Remove the folder that has the name of the blob, or use another key",
}


class FileStore(Store):
    """See the contract, and RealFiles for what is safe when."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"conditional", "ranges"})

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    @classmethod
    def open(cls, location: str, world: World) -> FileStore:
        """`location` is the path of a folder; it is created by the first `put`."""
        if not location or "\0" in location:
            raise StorageError(
                f"{location!r} is not a folder for a store", cure="Give the path of one"
            )
        with _said("open", location):
            return cls(world.files.resolve(Path(location)), world.files)

    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        path = self._path(key)
        with _said("write", path):
            try:
                self._files.write(path, chunks, only_if_absent=only_if_absent)
            except FileExistsError as error:
                raise StorageError(
                    f"there is a blob {key!r} already",
                    cure="Choose another key, or delete it first",
                ) from error

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError(f"a range of a blob counts from its start, not {start}:{stop}")
        path = self._path(key)
        with _said("read", path, key):
            return self._files.read(path, start, stop)

    def size(self, key: str) -> int:
        path = self._path(key)
        with _said("read", path, key):
            return self._files.size(path)

    def list(self, prefix: str = "") -> list[str]:
        folder = prefix.rpartition("/")[0]
        start = self._path(folder) if is_key(folder) else self._folder
        with _said("list", start):
            files = self._files.list(start)
        keys = (path.relative_to(self._folder).as_posix() for path in files)
        return sorted(key for key in keys if key.startswith(prefix) and is_key(key))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _said("delete", path):
            self._files.remove(path)

    def _path(self, key: str) -> Path:
        path = self._folder / check_key(key)
        with _said("open", path):
            real = self._files.resolve(path)
        if real != path:
            raise StorageError(
                f"a symbolic link stands on the way to {path}",
                cure="Remove it: a store reads and writes below its own folder only",
            )
        return path


@contextmanager
def _said(verb: str, path: Path | str, key: str | None = None) -> Iterator[None]:
    """OSError as StorageError; as KeyError where the blob `key` is what is absent."""
    try:
        yield
    except OSError as error:
        if key is not None and isinstance(
            error, FileNotFoundError | NotADirectoryError | IsADirectoryError
        ):
            raise KeyError(key) from None
        raise StorageError(
            f"cannot {verb} {path}: {error.strerror or error}",
            cure=_CURES.get(error.errno or 0, "Check that folder and the disk it is on"),
        ) from error
