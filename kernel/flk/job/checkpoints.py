"""Checkpoints: generations of one state in a store, verified when they are read back. What the
state is and when it is saved is not decided here.

A generation is one blob, `<prefix>/<version, 16 digits>`:

    magic 8 bytes, format u32, reserved u32, version u64, payload length u64, 32 zero bytes
    payload: a container of flk.wire
    SHA-256 of all of the above

All numbers are little-endian. Every format, also a future one, begins with the magic and its number
and ends with the digest of the rest, so that damage and age can be told apart. The digest finds
damage, not tampering.
"""

from __future__ import annotations

import hashlib
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flk.errors import CheckpointError, PluginNotFound
from flk.spi.store import Store, check_key

if TYPE_CHECKING:
    from flk.wire import Codecs, Limits

__all__ = ["CheckpointManager", "CheckpointWarning"]

_MAGIC = b"flk-ckpt"
_FORMAT = 1
_HEADER = struct.Struct("<8sIIQQ32x")
_DIGEST = 32
_DIGITS = 16
_SLICE = 1 << 20


class CheckpointWarning(UserWarning):
    """A damaged generation was passed over."""


class CheckpointManager:
    """Saves and restores one state under `prefix`; keeps the newest `keep` generations.

    One process at a time, from any one thread. Blocks. `report` is told in one sentence of each
    damaged generation that `restore` passes over.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        codecs: Codecs,
        keep: int = 2,
        report: Callable[[str], None] | None = None,
    ) -> None:
        if keep < 1:
            raise ValueError("at least one generation must be kept")
        check_key(self._key_of(prefix, 0))
        self._store = store
        self._prefix = prefix
        self._codecs = codecs
        self._keep = keep
        self._report = report or _warn
        self._damaged: set[int] = set()

    def save(self, version: int, state: Any) -> None:
        """Write a generation, then drop those beyond `keep` and those found damaged before.

        Tensors are not copied; `state` must not change meanwhile. Saving the newest version again
        replaces it. EncodeError leaves everything as it is, and so does StorageError; a version
        older than what is there raises CheckpointError.
        """
        from flk.wire import encode, pack

        newest = max(set(self.versions()) - self._damaged, default=version)
        if not newest <= version < 10**_DIGITS or version < 0:
            raise CheckpointError(
                f"checkpoint {version} cannot follow checkpoint {newest} in {self._prefix!r}",
                cure="Restore the newest first, or choose another place",
            )
        chunks = [memoryview(c).cast("B") for c in pack(encode(state, self._codecs, _limits()))]
        self._store.put(self._key(version), _sealed(version, chunks))
        self._damaged.discard(version)
        intact = sorted(set(self.versions()) - self._damaged)
        for old in [*self._damaged, *intact[: -self._keep]]:
            self._store.delete(self._key(old))
        self._damaged.clear()

    def restore(self) -> tuple[int, Any] | None:
        """Version and state of the newest intact generation; None if there is none at all.

        Tensors lie in the memory that was read, which is the caller's. Raises CheckpointError if
        all are damaged or the newest has a format of a later flk, StorageError if the store cannot
        be read, DecodeError if this process cannot decode an intact one.
        """
        from flk.wire import decode, type_names, unpack

        faults: list[str] = []
        for version in reversed(self.versions()):
            try:
                blob = self._store.get(self._key(version))
            except KeyError:
                continue  # its owner has just dropped it
            fault = _fault(version, blob)
            if fault:
                self._damaged.add(version)
                faults.append(f"{self._key(version)} {fault}")
                continue
            for passed in faults:
                self._report(f"{passed}; going on from version {version}")
            limits = _limits()
            skeleton, buffers = unpack(blob[_HEADER.size : -_DIGEST], limits)
            self._admit(type_names(skeleton, limits))
            return version, decode(skeleton, buffers, self._codecs, limits)
        if faults:
            raise CheckpointError(
                f"no checkpoint is intact: {', '.join(faults)}",
                cure="Bring one back from a backup, or remove them to start anew",
            )
        return None

    def versions(self) -> list[int]:
        """What is there, oldest first, intact or not."""
        names = (key[len(self._prefix) + 1 :] for key in self._store.list(self._prefix + "/"))
        return sorted(int(n) for n in names if len(n) == _DIGITS and n.isdecimal())

    def _admit(self, names: Iterable[str]) -> None:
        """A new process knows no serializer yet: load the installed ones that wrote this."""
        unknown = set(names).difference(self._codecs.types())
        for package in sorted({name.partition(".")[0] for name in unknown}):
            with suppress(PluginNotFound):  # a class of the user's; decode says what is missing
                self._codecs.add(package)

    def _key(self, version: int) -> str:
        return self._key_of(self._prefix, version)

    @staticmethod
    def _key_of(prefix: str, version: int) -> str:
        return f"{prefix}/{version:0{_DIGITS}d}"


def _sealed(version: int, chunks: list[memoryview]) -> Iterator[Any]:
    """The blob. In slices, so that the digest and the disk find them in the processor's cache."""
    header = _HEADER.pack(_MAGIC, _FORMAT, 0, version, sum(map(len, chunks)))
    digest = hashlib.sha256(header)
    yield header
    for chunk in chunks:
        for at in range(0, len(chunk), _SLICE):
            part = chunk[at : at + _SLICE]
            digest.update(part)
            yield part
    yield digest.digest()


def _fault(version: int, blob: memoryview) -> str:
    """What is wrong with a generation; empty if nothing is. CheckpointError for a later format."""
    if len(blob) < _HEADER.size + _DIGEST:
        return "is cut off"
    if hashlib.sha256(blob[:-_DIGEST]).digest() != blob[-_DIGEST:]:
        return "is damaged"
    magic, number, _, found, length = _HEADER.unpack_from(blob)
    if magic != _MAGIC:
        return "is not a checkpoint"
    if number != _FORMAT:
        raise CheckpointError(
            f"checkpoint {version} has format {number}, this flk reads format {_FORMAT}",
            cure="Upgrade flk to the version that wrote it",
        )
    if found != version or length != len(blob) - _HEADER.size - _DIGEST:
        return f"holds version {found} and {length} bytes"
    return ""


def _limits() -> Limits:
    """What was written here may be read here: these bound only what no state needs."""
    from flk.wire import Limits

    return Limits(skeleton_bytes=1 << 30, nodes=50_000_000, buffers=10_000_000, extra_bytes=1 << 40)


def _warn(message: str) -> None:
    warnings.warn(message, CheckpointWarning, stacklevel=3)
