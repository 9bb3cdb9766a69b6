"""Blobs in one flat folder. A file is named by the digest of its key, which is its first line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from flk.errors import StorageError
from flk.spi.store import Store, check_key
from flk.world import Files, World

__all__ = ["AcmeStore"]


class AcmeStore(Store):
    """`Files` of the world make a write atomic and durable."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"conditional", "ranges"})

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files

    @classmethod
    def open(cls, location: str, world: World) -> AcmeStore:
        return cls(Path(location), world.files)

    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        path = self._path(key)
        with _said("write", key):
            whole = chain([_head(key)], chunks)
            self._files.write(path, whole, only_if_absent=only_if_absent)

    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError(f"a range counts from the start of the blob, not {start}:{stop}")
        path, head = self._path(key), len(_head(key))
        with _said("read", key):
            return self._files.read(path, start + head, None if stop is None else stop + head)

    def size(self, key: str) -> int:
        path = self._path(key)
        with _said("read", key):
            return self._files.size(path) - len(_head(key))

    def list(self, prefix: str = "") -> list[str]:
        with _said("list", prefix):
            heads = [bytes(self._files.read(f, 0, 513)) for f in self._files.list(self._folder)]
        keys = (head.partition(b"\n")[0].decode() for head in heads)
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _said("delete", key):
            self._files.remove(path)

    def _path(self, key: str) -> Path:
        return self._folder / sha256(check_key(key).encode()).hexdigest()


def _head(key: str) -> bytes:
    return key.encode() + b"\n"


@contextmanager
def _said(verb: str, key: str) -> Iterator[None]:
    """OSError as the errors of the contract."""
    try:
        yield
    except FileNotFoundError:
        raise KeyError(key) from None
    except FileExistsError as error:
        raise StorageError(f"there is a blob {key!r} already", cure="Delete it first") from error
    except OSError as error:
        raise StorageError(f"cannot {verb} {key!r}: {error.strerror}") from error
