"""Contract of the role *store*: named blobs that survive a crash. Checkpoints, job files and large
buffers use it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from flk.errors import StorageError
from flk.world import World

__all__ = ["Store", "check_key", "is_key"]

_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,255}\Z", re.ASCII)


def is_key(text: str) -> bool:
    """Whether the text follows the grammar of keys."""
    return len(text) <= 512 and all(_NAME.match(name) for name in text.split("/"))


def check_key(key: str) -> str:
    """The key itself; StorageError if it does not follow the grammar."""
    if not is_key(key):
        raise StorageError(
            f"{key[:80]!r} is not a key of a store",
            cure="Join names of letters, digits, '.', '_' and '-' by '/', at most 512 characters",
        )
    return key


class Store(ABC):
    """A flat name space of blobs. Called from any thread, may block; safe for several processes at
    once.

    Keys are `/`-separated names of `[A-Za-z0-9._-]+` without `.` and `..`, at most 512 characters
    and 255 a name; anything else is refused with StorageError before it touches the medium
    (`check_key`). Nobody may count on a key that is the folder of another (`a` beside `a/b`): a
    store may refuse the second with StorageError. Every failure of the medium is a StorageError
    with the cause: a full disk, a missing permission, a lost connection. Time, randomness and files
    come from `world`.

    Capabilities: `conditional` (`put(..., only_if_absent=True)` is atomic), `ranges` (`get` reads a
    part cheaply).
    """

    capabilities: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @abstractmethod
    def open(cls, location: str, world: World) -> Store:
        """A store at `location`: what a user writes after the name (`folder` path,
        `bucket/prefix`)."""

    @abstractmethod
    def put(self, key: str, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        """Write the concatenation of `chunks`, C-contiguous objects with the buffer protocol;
        anything else raises, as does what the iterable raises. Atomic and durable: when this
        returns, the blob survives a power cut; when it raises or the process dies, the earlier blob
        of that key is intact. With `only_if_absent` an existing key raises StorageError and
        stays."""

    @abstractmethod
    def get(self, key: str, start: int = 0, stop: int | None = None) -> memoryview:
        """Bytes `start` to `stop` (default: the end) of the blob, fewer if it ends before; writable
        memory of the caller's own. KeyError if there is no such blob, ValueError for a negative
        number."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Bytes of the blob; KeyError if there is none."""

    @abstractmethod
    def list(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted; nothing half-written among them."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the blob; no error if there is none."""

    def close(self) -> None:
        """Release connections. Idempotent."""
        return None
