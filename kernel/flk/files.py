"""The disk of a world: its contract and this machine's. Import both from `flk.world`."""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Files", "RealFiles"]


class Files(ABC):
    """A disk. All methods block; OSError as Python raises it."""

    @abstractmethod
    def read(self, path: Path, start: int = 0, stop: int | None = None) -> memoryview:
        """Bytes `start` to `stop` (default: the end) of a file, in writable memory of the caller's
        own; fewer if the file ends before."""

    @abstractmethod
    def write(self, path: Path, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        """Replace a file by the concatenation of `chunks`: after a crash the old content is there
        or the new one, on return the new one survives a power cut. Creates missing folders. With
        `only_if_absent` an existing file raises FileExistsError and stays."""

    @abstractmethod
    def append(self, path: Path, data: Any) -> None:
        """Add to the end of a file and wait until it survives a power cut. One writer a file. When
        it raises, nothing was added; after a power cut a part may be."""

    @abstractmethod
    def size(self, path: Path) -> int:
        """Bytes of a file."""

    @abstractmethod
    def list(self, folder: Path) -> list[Path]:
        """Every file below a folder, sorted, without symbolic links and those that `write` has not
        finished; none if it is absent."""

    @abstractmethod
    def remove(self, path: Path) -> None:
        """Remove a file; no error if it is absent."""

    @abstractmethod
    def resolve(self, path: Path) -> Path:
        """The path made absolute, with every symbolic link on it followed; it need not exist."""


class RealFiles(Files):
    """This machine's disk. A replaced file keeps its mode; what a killed process left half-written
    in a folder is removed at the first `write` into it."""

    def __init__(self) -> None:
        self._swept: set[Path] = set()

    def read(self, path: Path, start: int = 0, stop: int | None = None) -> memoryview:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            end = size if stop is None else min(stop, size)
            file.seek(start)
            data = memoryview(bytearray(max(0, end - start)))
            filled = 0
            while filled < len(data):
                count = file.readinto(data[filled:])
                if not count:
                    return data[:filled]
                filled += count
            return data

    def write(self, path: Path, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        _make_folder(path.parent)
        if path.parent not in self._swept:
            _sweep(path.parent)
            self._swept.add(path.parent)
        fd, part = _open_part(path.parent)
        try:
            with suppress(FileNotFoundError):
                os.fchmod(fd, stat.S_IMODE(path.stat().st_mode))
            for chunk in chunks:
                _write_all(fd, chunk)
            os.fsync(fd)
            if only_if_absent:
                os.link(part, path)
            else:
                os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
            os.close(fd)
        _sync_folder(path.parent)

    def append(self, path: Path, data: Any) -> None:
        _make_folder(path.parent)
        new = not path.exists()
        with open(path, "ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                _write_all(file.fileno(), data)
                os.fsync(file.fileno())
            except BaseException:
                os.ftruncate(file.fileno(), before)
                raise
        if new:
            _sync_folder(path.parent)

    def size(self, path: Path) -> int:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return facts.st_size

    def list(self, folder: Path) -> list[Path]:
        found: list[Path] = []
        folders = [folder]
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.name.startswith(_PART):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(Path(entry.path))
                        elif entry.is_file(follow_symlinks=False):
                            found.append(Path(entry.path))
            except (FileNotFoundError, NotADirectoryError):
                continue
        return sorted(found)

    def remove(self, path: Path) -> None:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()

    def resolve(self, path: Path) -> Path:
        return path.resolve()


_PART = ".~"


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)
        ) from None  # FileExistsError would speak of the file to be written
    _sync_folder(folder.parent)


def _open_part(folder: Path) -> tuple[int, Path]:
    """A new file, locked for as long as it is open, so that `_sweep` of other processes sees that
    its writer lives."""
    while True:
        part = folder / f"{_PART}{os.urandom(8).hex()}"
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        if not _lock(fd, wait=True) or os.fstat(fd).st_nlink:
            return fd, part
        os.close(fd)  # swept between open and lock


def _sweep(folder: Path) -> None:
    with os.scandir(folder) as entries:
        parts = [Path(e.path) for e in entries if e.name.startswith(_PART)]
    for part in parts:
        with suppress(FileNotFoundError):
            fd = os.open(part, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if _lock(fd, wait=False):
                    part.unlink()
            finally:
                os.close(fd)


def _lock(fd: int, *, wait: bool) -> bool:
    """Whether the file is ours now; False too where the file system knows no locks."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write_all(fd: int, data: Any) -> None:
    view = memoryview(data)
    if not view.nbytes:  # several dimensions, one of them 0, cannot be cast
        return
    view = view.cast("B")
    while view:
        view = view[os.write(fd, view[: 1 << 30]) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that know no such thing
            raise
    finally:
        os.close(fd)
