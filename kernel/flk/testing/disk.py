"""A simulated disk: files in memory that lose what was not synced when the power is cut."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flk.world import Files

__all__ = ["PowerCut", "SimFiles"]


class PowerCut(BaseException):
    """The machine stopped here. Not an Exception, so that no clean-up hides it; every later
    operation raises it again until `SimFiles.crash` turns the machine on."""


@dataclass(slots=True)
class _Inode:
    """Contents only grow; the first `synced` bytes survive."""

    data: bytearray = field(default_factory=bytearray)
    synced: int = 0


class SimFiles(Files):
    """Simulated: contents survive once synced, names once their folder is; a rename is atomic;
    names settle in order; of the rest a crash keeps a random part, by the seed. Not simulated:
    modes, links, empty folders, other machines, bits that rot.

    `write` counts as operations: create, one a chunk, sync, rename, sync the folder; `append`:
    open, write, sync, and sync the folder if the file is new; each other method is one. `capacity`
    is in bytes, of all contents. It may outlive its world, as a disk outlives a process.
    """

    def __init__(self, seed: int = 0, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.operations = 0
        self._random = random.Random(seed)
        self._live: dict[Path, _Inode] = {}
        self._settled: dict[Path, _Inode] = {}
        self._pending: list[tuple[Path, _Inode | None]] = []
        self._failure: tuple[int, BaseException] | None = None
        self._off = False

    def fail_at(self, number: int, error: BaseException) -> None:
        """Raise `error` (an OSError, a PowerCut) instead of the operation that is the `number`-th
        from now; 1 is the next. One failure at a time."""
        self._failure = (self.operations + number, error)

    def crash(self) -> None:
        """Cut the power and turn the machine on again."""
        kept = self._random.randint(0, len(self._pending))
        self._settle(self._pending[:kept])
        for inode in self._settled.values():
            del inode.data[self._random.randint(inode.synced, len(inode.data)) :]
            inode.synced = len(inode.data)
        self._live = dict(self._settled)
        self._pending.clear()
        self._failure = None
        self._off = False

    def read(self, path: Path, start: int = 0, stop: int | None = None) -> memoryview:
        self._operate()
        return memoryview(self._find(path).data[start:stop])

    def write(self, path: Path, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        path = self.resolve(path)
        self._operate()
        self._check_place(path)
        inode = _Inode()
        for chunk in chunks:
            self._grow(inode, chunk)
        self._operate()
        inode.synced = len(inode.data)
        self._operate()
        if not only_if_absent:
            self._live[path] = inode
        elif self._live.setdefault(path, inode) is not inode:
            raise _os_error(errno.EEXIST, path)
        self._pending.append((path, inode))
        self._sync_folder()

    def append(self, path: Path, data: Any) -> None:
        path = self.resolve(path)
        self._operate()
        self._check_place(path)
        new = path not in self._live
        inode = self._live.setdefault(path, _Inode())
        if new:
            self._pending.append((path, inode))
        before = len(inode.data)
        try:
            self._grow(inode, data)
            self._operate()
        except Exception:
            del inode.data[before:]
            raise
        inode.synced = len(inode.data)
        if new:
            self._sync_folder()

    def size(self, path: Path) -> int:
        self._operate()
        return len(self._find(path).data)

    def list(self, folder: Path) -> list[Path]:
        self._operate()
        folder = self.resolve(folder)
        return sorted(path for path in list(self._live) if folder in path.parents)

    def remove(self, path: Path) -> None:
        self._operate()
        path = self.resolve(path)
        if self._live.pop(path, None) is not None:
            self._pending.append((path, None))

    def resolve(self, path: Path) -> Path:
        return Path(os.path.normpath(Path("/", path)))

    def _operate(self) -> None:
        if self._off:
            raise PowerCut("the machine is off")
        self.operations += 1
        if self._failure and self.operations == self._failure[0]:
            error = self._failure[1]
            self._off = isinstance(error, PowerCut)
            raise error

    def _grow(self, inode: _Inode, data: Any) -> None:
        view = memoryview(data)
        try:
            self._operate()
            used = sum(len(n.data) for n in list(self._live.values()) if n is not inode)
            room = None if self.capacity is None else self.capacity - used - len(inode.data)
            if room is not None and view.nbytes > room:
                raise _os_error(errno.ENOSPC)
        except BaseException:
            inode.data += view.tobytes()[: view.nbytes // 2]  # a part got through
            raise
        inode.data += view.cast("B") if view.nbytes else b""

    def _sync_folder(self) -> None:
        self._operate()
        self._settle(self._pending)
        self._pending = []

    def _settle(self, names: Iterable[tuple[Path, _Inode | None]]) -> None:
        for path, inode in names:
            if inode is None:
                self._settled.pop(path, None)
            else:
                self._settled[path] = inode

    def _find(self, path: Path) -> _Inode:
        path = self.resolve(path)
        if path not in self._live:
            self._check_place(path)
            raise _os_error(errno.ENOENT, path)
        return self._live[path]

    def _check_place(self, path: Path) -> None:
        if any(parent in self._live for parent in path.parents):
            raise _os_error(errno.ENOTDIR, path)
        if any(path in other.parents for other in list(self._live)):
            raise _os_error(errno.EISDIR, path)


def _os_error(number: int, path: Path | None = None) -> OSError:
    return OSError(number, os.strerror(number), path and str(path))
