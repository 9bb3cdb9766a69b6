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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flk.files import Files, RealFiles

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

__all__ = ["GRACE", "Files", "RealFiles", "RealWorld", "Timer", "World"]

_T = TypeVar("_T")

GRACE = 5.0
"""Seconds that `close` leaves a cancelled task to end."""


class Timer(Protocol):
    """A call that was put off."""

    def cancel(self) -> None:
        """Not to happen any more; no error if it happened."""


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
        """Cancel what is still running on the loop and end it; a task that refuses is left after
        `GRACE` seconds, a future still open is cancelled. Idempotent; after it every method that
        starts something raises RuntimeError."""


class RealWorld(World):
    """This machine. The loop's thread and the pool start when they are first needed; nothing starts
    at creation.

    The pool grows to `max_threads`, not counting those that wait in `enter`, so that calls within
    calls cannot block one another. Its threads are daemons: user code that hangs cannot keep a
    process alive.
    """

    def __init__(self, max_threads: int = 64) -> None:
        self.files = RealFiles()
        self._pool = _Pool(max_threads)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: threading.Thread | None = None
        self._spawned: set[Future[Any]] = set()
        self._closed = False

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def rng(self) -> random.Random:
        return random.Random(os.urandom(16))

    def secret(self, nbytes: int) -> bytes:
        return os.urandom(nbytes)

    def call_at(self, when: float, function: Callable[..., Any], *args: Any) -> Timer:
        timer = _LoopTimer()
        self._post(timer.start, when, function, args)
        return timer

    def spawn(self, coroutine: Coroutine[Any, Any, _T], name: str) -> Future[_T]:
        return self._spawn(coroutine, name, threading.Event())

    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        import asyncio
        from concurrent.futures import Future

        future: Future[_T] = Future()
        self._pool.submit(future, copy_context().run, function, *args)
        return await asyncio.wrap_future(future)

    def thread(self, function: Callable[[], Any], name: str) -> Callable[[float | None], bool]:
        ended = threading.Event()
        context = copy_context()

        def main() -> None:
            try:
                context.run(function)
            finally:
                ended.set()

        thread = threading.Thread(target=main, name=name, daemon=True)
        thread.start()

        def join(timeout: float | None) -> bool:
            # an event, because Ctrl-C in Thread.join() marks a thread that lives as ended
            if not ended.wait(timeout):
                return False
            thread.join()
            return True

        return join

    def enter(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if threading.current_thread() is self._loop_thread:
            coroutine.close()
            raise RuntimeError("enter() was called on the loop itself; await the coroutine instead")
        ended = threading.Event()
        future = self._spawn(coroutine, "enter", ended)
        with self._pool.lent():
            try:
                return future.result()
            except BaseException:
                if (
                    not future.done()
                ):  # Ctrl-C here: end the coroutine first; a second one is faster
                    future.cancel()
                    ended.wait(GRACE)
                raise

    def close(self) -> None:
        self._pool.close()
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._loop_thread
            self._loop = None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * GRACE)

    def _spawn(
        self, coroutine: Coroutine[Any, Any, _T], name: str, ended: threading.Event
    ) -> Future[_T]:
        from concurrent.futures import Future

        future: Future[_T] = Future()
        self._spawned.add(future)
        future.add_done_callback(self._spawned.discard)
        try:
            self._post(start_task, coroutine, name, future, ended)
        except RuntimeError:
            coroutine.close()
            future.cancel()
            raise
        return future

    def _post(self, function: Callable[..., Any], *args: Any) -> None:
        """Call `function(loop, *args)` on the loop, in the caller's context."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the world is closed")
            if self._loop is None:
                import asyncio

                self._loop = asyncio.new_event_loop()
                self._loop_thread = threading.Thread(
                    target=_run_loop, args=(self._loop, self._spawned), name="flk-loop", daemon=True
                )
                self._loop_thread.start()
            self._loop.call_soon_threadsafe(function, self._loop, *args)


def start_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, _T],
    name: str,
    future: Future[_T],
    ended: threading.Event,
) -> None:
    """On the loop: start a task whose outcome `future` carries and whose cancellation it asks for.
    `ended` is set when the task has ended, which a cancelled future does not tell."""
    if future.cancelled():
        coroutine.close()
        ended.set()
        return
    task = loop.create_task(coroutine, name=name)

    def settle(_: asyncio.Task[_T]) -> None:
        ended.set()
        if task.cancelled():
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return
        error = task.exception()
        if error is None:
            future.set_result(task.result())
        else:
            future.set_exception(error)

    def cancel(_: Future[_T]) -> None:
        if future.cancelled() and not task.done():
            with suppress(RuntimeError):  # the loop has ended meanwhile, and the task with it
                loop.call_soon_threadsafe(task.cancel)

    task.add_done_callback(settle)
    future.add_done_callback(cancel)


def _run_loop(loop: asyncio.AbstractEventLoop, spawned: set[Future[Any]]) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        _until_stopped(loop, loop.run_forever)
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        if pending:
            ending = loop.create_task(asyncio.wait(pending, timeout=GRACE))
            _until_stopped(loop, lambda: loop.run_until_complete(ending))
        for task in asyncio.all_tasks(loop):
            loop.call_exception_handler(
                {"message": f"{task.get_name()} goes on {GRACE} s after it was cancelled"}
            )
        for future in list(spawned):
            future.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _until_stopped(loop: asyncio.AbstractEventLoop, drive: Callable[[], Any]) -> None:
    """asyncio lets these two out of the loop after it has given them to the task's owner."""
    while True:
        try:
            drive()
        except (SystemExit, KeyboardInterrupt):
            continue
        return


class _LoopTimer:
    _handle: asyncio.TimerHandle | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _cancelled = False

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        when: float,
        function: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self._loop = loop  # before the look at _cancelled, as cancel() may come at any time
        if not self._cancelled:
            self._handle = loop.call_at(when - time.monotonic() + loop.time(), function, *args)

    def cancel(self) -> None:
        self._cancelled = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
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
        self._mine = threading.local()
        self._closed = False

    def submit(self, future: Future[Any], function: Callable[..., Any], *args: Any) -> None:
        with self._wake:
            if self._closed:
                raise RuntimeError("the world is closed")
            self._calls.append((future, function, args))
            self._serve()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Where one of these threads waits for others, its place is free meanwhile."""
        if not hasattr(self._mine, "pooled"):
            yield
            return
        with self._wake:
            self._limit += 1
            self._serve()
        try:
            yield
        finally:
            with self._wake:
                self._limit -= 1

    def close(self) -> None:
        with self._wake:
            self._closed = True
            calls = list(self._calls)
            self._calls.clear()
            self._wake.notify_all()
        for future, _, _ in calls:
            future.cancel()

    def _serve(self) -> None:
        if self._idle >= len(self._calls):
            self._wake.notify()
        elif self._threads < self._limit:
            number = self._threads + 1
            threading.Thread(target=self._work, name=f"flk-pool-{number}", daemon=True).start()
            self._threads = number

    def _work(self) -> None:
        self._mine.pooled = True
        while True:
            with self._wake:
                self._idle += 1
                while not self._calls and not self._closed and self._threads <= self._limit:
                    self._wake.wait()
                self._idle -= 1
                if not self._calls or self._threads > self._limit:
                    self._threads -= 1
                    return
                future, function, args = self._calls.popleft()
            if future.set_running_or_notify_cancel():
                try:
                    value = function(*args)
                except BaseException as error:
                    future.set_exception(carried(error))
                else:
                    future.set_result(value)
                    del value
            del future, function, args


def carried(error: BaseException) -> BaseException:
    """What a future can carry: for asyncio, not StopIteration."""
    if not isinstance(error, StopIteration):
        return error
    other = RuntimeError(f"the function raised {error!r}")
    other.__cause__ = error
    return other
