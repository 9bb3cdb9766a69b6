"""The world a kernel lives in: time, randomness, tasks, threads and files, handed in and taken from
nowhere else.

`RealWorld` is this machine, asyncio and threads. `flk.testing.SimWorld` is the same contract under
virtual time and one seed, so that production code runs in it unchanged. Sockets and processes join
the contract with the network and the runtime.
"""

from __future__ import annotations

import os
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
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
        """Bytes `start` to `stop` (end) of a file, in writable memory of the caller's own."""

    @abstractmethod
    def write(self, path: Path, chunks: Iterable[Any], *, only_if_absent: bool = False) -> None:
        """Replace a file by the concatenation of `chunks`: after a crash the old content is there
        or the new one, on return the new one survives a power cut. Creates missing folders. With
        `only_if_absent` an existing file raises FileExistsError and stays."""

    @abstractmethod
    def append(self, path: Path, data: Any) -> None:
        """Add to the end of a file and wait until it survives a power cut."""

    @abstractmethod
    def size(self, path: Path) -> int:
        """Bytes of a file."""

    @abstractmethod
    def list(self, folder: Path) -> list[Path]:
        """Every file below a folder, sorted, without those that `write` has not finished; none if
        it is absent."""

    @abstractmethod
    def remove(self, path: Path) -> None:
        """Remove a file; no error if it is absent."""


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
    """This machine's disk."""

    _UNFINISHED = ".part-"

    def read(self, path: Path, start: int = 0, stop: int | None = None) -> memoryview:
        with open(path, "rb", buffering=0) as file:
            end = os.fstat(file.fileno()).st_size if stop is None else stop
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
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{self._UNFINISHED}{os.urandom(6).hex()}-{path.name}"[:200])
        try:
            with open(part, "xb", buffering=0) as file:
                for chunk in chunks:
                    _write_all(file.fileno(), chunk)
                os.fsync(file.fileno())
            if only_if_absent:
                os.link(part, path)
            else:
                os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(path.parent)

    def append(self, path: Path, data: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as file:
            _write_all(file.fileno(), data)
            os.fsync(file.fileno())

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def list(self, folder: Path) -> list[Path]:
        return sorted(
            Path(root, name)
            for root, _, names in os.walk(folder)
            for name in names
            if not name.startswith(self._UNFINISHED)
        )

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)


def _write_all(fd: int, data: Any) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view[: 1 << 30]) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
