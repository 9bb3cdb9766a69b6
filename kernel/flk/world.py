"""The world a kernel lives in: time, randomness, tasks, threads and files, handed in and taken from
nowhere else.

`RealWorld` is this machine, asyncio and threads. `flk.testing.SimWorld` is the same contract under
virtual time and one seed, so that production code runs in it unchanged. Sockets and processes join
the contract with the network and the runtime.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

__all__ = ["Files", "RealWorld", "Timer", "World"]

_T = TypeVar("_T")


class Timer(Protocol):
    """A call that was put off."""

    def cancel(self) -> None:
        """Not to happen any more; no error if it happened."""


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


class World(ABC):
    """See the module. One instance a process (or a simulation); `close` ends what it started.

    `now` is monotonic, `wall` is Unix time, both in seconds. Coroutines run on the world's loop;
    synchronous code of users never does.
    """

    files: Files

    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    def wall(self) -> float: ...

    @abstractmethod
    def rng(self) -> random.Random:
        """A new generator for jitter and sampling that is not security: seeded by the system, or by
        the simulation."""

    @abstractmethod
    def secret(self, nbytes: int) -> bytes:
        """Random bytes for keys and nonces."""

    @abstractmethod
    def call_at(self, when: float, function: Callable[..., Any], *args: Any) -> Timer:
        """Call `function(*args)` on the loop at `now() == when`. From any thread."""

    @abstractmethod
    def spawn(self, coroutine: Coroutine[Any, Any, _T], name: str) -> Future[_T]:
        """Start a coroutine on the loop, from any thread, in the caller's context; the future may
        be waited for in any thread but the loop's."""

    @abstractmethod
    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run synchronous code off the loop, in the caller's context. Cancelling stops waiting, not
        the code."""

    @abstractmethod
    def thread(self, function: Callable[[], Any], name: str) -> Callable[[float | None], bool]:
        """Run `function()` in a thread of its own, in a copy of the caller's context. Returns
        `join(timeout)`, which waits and tells whether it ended. It does not keep the process
        alive."""

    @abstractmethod
    def enter(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """From synchronous code: run a coroutine on the loop and wait for its value. Never from the
        loop itself."""

    @abstractmethod
    def close(self) -> None:
        """Cancel what is still running on the loop and end it. Idempotent."""


class RealWorld(World):
    """This machine. The loop's thread and the pool start when they are first needed; nothing starts
    at creation.

    The pool grows to `max_threads`; its threads are daemons, so user code that hangs cannot keep a
    process alive.
    """

    def __init__(self, max_threads: int = 64) -> None:
        self.files = RealFiles()
        self._pool = _Pool(max_threads)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: threading.Thread | None = None

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def rng(self) -> random.Random:
        return random.Random(os.urandom(16))

    def secret(self, nbytes: int) -> bytes:
        return os.urandom(nbytes)

    def call_at(self, when: float, function: Callable[..., Any], *args: Any) -> Timer:
        loop = self._running_loop()
        timer = _LoopTimer(loop)
        loop.call_soon_threadsafe(timer.start, when - self.now() + loop.time(), function, args)
        return timer

    def spawn(self, coroutine: Coroutine[Any, Any, _T], name: str) -> Future[_T]:
        import asyncio

        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())

    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        import asyncio
        from concurrent.futures import Future

        future: Future[_T] = Future()
        self._pool.submit(future, copy_context().run, function, *args)
        return await asyncio.wrap_future(future)

    def thread(self, function: Callable[[], Any], name: str) -> Callable[[float | None], bool]:
        thread = threading.Thread(
            target=copy_context().run, args=(function,), name=name, daemon=True
        )
        thread.start()

        def join(timeout: float | None) -> bool:
            thread.join(timeout)
            return not thread.is_alive()

        return join

    def enter(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if threading.current_thread() is self._loop_thread:
            coroutine.close()
            raise RuntimeError("enter() was called on the loop itself; await the coroutine instead")
        future = self.spawn(coroutine, "enter")
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        self._pool.close()
        with self._lock:
            loop, thread = self._loop, self._loop_thread
            self._loop = self._loop_thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            if thread is not threading.current_thread():
                thread.join()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                import asyncio

                self._loop = asyncio.new_event_loop()
                self._loop_thread = threading.Thread(
                    target=_run_loop, args=(self._loop,), name="flk-loop", daemon=True
                )
                self._loop_thread.start()
            return self._loop


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    finally:
        loop.close()


class _LoopTimer:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._cancelled = False

    def start(self, when: float, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if not self._cancelled:
            self._handle = self._loop.call_at(when, function, *args)

    def cancel(self) -> None:
        self._cancelled = True
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class _Pool:
    """Daemon threads that take calls from one queue; as many as were ever needed at once, up to a
    limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._idle = 0
        self._threads = 0
        self._calls: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._wake = threading.Condition()
        self._closed = False

    def submit(self, future: Future[Any], function: Callable[..., Any], *args: Any) -> None:
        with self._wake:
            if self._closed:
                raise RuntimeError("the world is closed")
            self._calls.append((future, function, args))
            if self._idle >= len(self._calls):
                self._wake.notify()
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(
                    target=self._work, name=f"flk-pool-{self._threads}", daemon=True
                ).start()

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._idle += 1
                while not self._calls and not self._closed:
                    self._wake.wait()
                self._idle -= 1
                if not self._calls:
                    return
                future, function, args = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                value = function(*args)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(value)
            del future, function, args


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
    view = memoryview(data).cast("B")
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
