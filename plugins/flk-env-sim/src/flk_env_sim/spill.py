"""Answers that came too early for their turn in a sum wait on disk, so that memory does not grow
with the number of sites."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flk.errors import EncodeError, StorageError
from flk.wire import Codecs, Encoded, decode, encode

__all__ = ["spill_to"]

_WORTH_IT = 1 << 20
"""Bytes below which an answer stays in memory."""


def spill_to(folder: Path | None, codecs: Codecs) -> Callable[[Any], Callable[[], Any] | None]:
    """A function that writes a value into a nameless file and returns what reads it back; None for
    a small value and for one that cannot travel. Without a folder the system's temporary one."""

    def spill(value: Any) -> Callable[[], Any] | None:
        try:
            encoded = encode(value, codecs)
        except EncodeError:
            return None
        if encoded.nbytes < _WORTH_IT:
            return None
        try:
            return _Aside(encoded, codecs, folder)
        except OSError as error:
            raise StorageError(
                f"an early result could not be put aside: {error}",
                cure="Make room on the disk of the run folder, or use the serial executor",
            ) from error

    return spill


class _Aside:
    """One value on disk; calling it reads it back, once."""

    def __init__(self, encoded: Encoded, codecs: Codecs, folder: Path | None) -> None:
        self._skeleton, self._codecs = encoded.skeleton, codecs
        self._sizes = [len(buffer) for buffer in encoded.buffers]
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - see __del__
        for buffer in encoded.buffers:
            view = buffer
            while view:
                view = view[os.write(self._file.fileno(), view) :]

    def __call__(self) -> Any:
        self._file.seek(0)
        buffers = [memoryview(bytearray(size)) for size in self._sizes]
        for buffer in buffers:
            view = buffer
            while view:
                view = view[os.readv(self._file.fileno(), [view]) :]
        self._file.close()
        return decode(self._skeleton, buffers, self._codecs)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
