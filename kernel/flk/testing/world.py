"""A world under virtual time and one seed, for tests of code that runs in any `flk.world.World`.

Simulated: time, which stands still while code runs and jumps to the next timer when nothing can;
the order in which tasks and threads that are ready go on, drawn from the seed; randomness and
secrets; threads, of which exactly one runs at a time; a disk that forgets what was not synced (see
`flk.testing.disk`). The same seed gives the same run, and `trace_hash` tells whether it did.

Not simulated: threads, locks, queues and sleeps that do not come from the world (a thread keeps its
turn until it ends or waits through the world: `enter`, `join`, the result of a spawned future), so
there is no preemption; processes; sockets of this machine, which the loop refuses. Connections and
processes will join here when the contract has them: as tasks of the same loop, which then crosses
no new seam.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import sys
import threading
from asyncio.base_events import BaseEventLoop
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from flk.testing.disk import SimFiles
from flk.world import GRACE, Timer, World, carried, start_task

__all__ = ["Deadlock", "SimWorld"]

_T = TypeVar("_T")
_EPOCH = 1_700_000_000.0


class Deadlock(RuntimeError):
    """Nothing can ever go on: every task and thread waits for another. Or one thread waits for
    something outside the world and keeps all others from their turn."""


class SimWorld(World):
    """See the module. The thread that calls `enter` or `join` from outside drives the loop while it
    waits; between such calls the world stands still. `patience`: seconds of real time that a thread
    may keep its turn before Deadlock names it.
    """

    files: SimFiles

    def __init__(
        self, seed: int = 0, files: SimFiles | None = None, patience: float = 60.0
    ) -> None:
        seeds = random.Random(seed)
        self.files = files or SimFiles(seeds.getrandbits(64))
        self._loop = _Loop(self, random.Random(seeds.getrandbits(64)))
        self._random = seeds
        self._patience = patience
        self._back = threading.Lock()
        self._back.acquire()
        self._running: _Worker | None = None
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, None] = {}
        self._spawned: dict[Future[Any], None] = {}
        self._driver = 0
        self._closed = False

    def now(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return _EPOCH + self.now()

    def rng(self) -> random.Random:
        return random.Random(self._random.getrandbits(64))

    def secret(self, nbytes: int) -> bytes:
        return self._random.randbytes(nbytes)

    def trace_hash(self) -> str:
        """A digest of the steps so far: who went on, when, in which order."""
        return self._loop.trace.hexdigest()

    def call_at(self, when: float, function: Callable[..., Any], *args: Any) -> Timer:
        self._check()
        return self._loop.call_at(when, function, *args)

    def spawn(self, coroutine: Coroutine[Any, Any, _T], name: str) -> Future[_T]:
        future: _Future[_T] = _Future(self)
        try:
            self._check()
        except RuntimeError:
            coroutine.close()
            raise
        self._spawned[future] = None
        future.add_done_callback(lambda _: self._spawned.pop(future, None))
        self._loop.call_soon(start_task, self._loop, coroutine, name, future, threading.Event())
        return future

    async def run(self, function: Callable[..., _T], *args: Any) -> _T:
        future: asyncio.Future[_T] = self._loop.create_future()

        def call() -> None:
            try:
                value = function(*args)
            except BaseException as error:
                if not future.done():
                    future.set_exception(carried(error))
            else:
                if not future.done():
                    future.set_result(value)

        self._start(call, getattr(function, "__qualname__", type(function).__name__))
        return await future

    def thread(self, function: Callable[[], Any], name: str) -> Callable[[float | None], bool]:
        ended: Future[None] = Future()

        def call() -> None:
            try:
                function()
            except BaseException as error:
                if not self._closed:  # else this is how it was ended
                    facts = type(error), error, error.__traceback__, threading.current_thread()
                    threading.excepthook(threading.ExceptHookArgs(facts))
            finally:
                ended.set_result(None)

        self._start(call, name)
        return partial(self.wait, ended)

    def enter(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        try:
            self._waiter()
        except RuntimeError:
            coroutine.close()
            raise
        future = self.spawn(coroutine, "enter")
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        """Give the turn away until a future is done or `timeout` virtual seconds have passed; tell
        whether it is done."""
        if future.done():
            return True
        worker = self._waiter()
        woken = False

        def wake(_: object = None) -> None:
            nonlocal woken
            if not woken:
                woken = True
                self._loop.call_soon(worker.turn if worker else self._loop.stop)

        future.add_done_callback(wake)
        timer = None if timeout is None else self._loop.call_later(timeout, wake)
        if worker:
            worker.wait()
        else:
            self._drive(lambda: woken)
        if timer is not None:
            timer.cancel()
        return future.done()

    def close(self) -> None:
        if self._closed:
            return
        if self._waiter() is not None:
            raise RuntimeError("a simulated world is closed by the thread that drives it")
        self._closed = True
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            ending = self._loop.create_task(asyncio.wait(tasks, timeout=GRACE))
            ending.add_done_callback(lambda _: self._loop.stop())
            self._drive(ending.done)
        for future in list(self._spawned):
            future.cancel()
        if self._loop.failure is None:
            for worker in list(self._busy):
                worker.turn()
            for worker in self._idle:
                worker.end()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _check(self) -> None:
        if self._closed:
            raise RuntimeError("the world is closed")
        ident = threading.get_ident()
        inside = self._driver if self._running is None else self._running.ident
        if self._loop.is_running() and ident != inside:
            raise RuntimeError(
                f"{threading.current_thread().name} is not a thread of this simulated world; "
                "start it with its `thread` or `run`"
            )

    def _waiter(self) -> _Worker | None:
        """The thread of the world that wants to wait; None for the one that drives."""
        if self._running is not None and threading.get_ident() == self._running.ident:
            return self._running
        if self._loop.is_running():
            self._check()
            raise RuntimeError("the loop itself cannot wait for the world; await instead")
        return None

    def _start(self, call: Callable[[], None], name: str) -> None:
        self._check()
        worker = self._idle.pop() if self._idle else _Worker(self)
        self._busy[worker] = None
        worker.begin(partial(copy_context().run, call), name)
        self._loop.call_soon(worker.turn)

    def _drive(self, done: Callable[[], bool]) -> None:
        self._driver = threading.get_ident()
        while not done():
            try:
                self._loop.run_forever()
            except SystemExit:  # that of a task, whose future tells its owner
                continue


class _Future(Future[_T]):
    """Waiting for it gives the turn away."""

    def __init__(self, world: SimWorld) -> None:
        super().__init__()
        self._world = world

    def result(self, timeout: float | None = None) -> _T:
        self._world.wait(self, timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._world.wait(self, timeout)
        return super().exception(0)


class _Worker:
    """One thread and the baton: it runs from `turn` until it waits or its call has ended."""

    def __init__(self, world: SimWorld) -> None:
        self._world = world
        self._call: Callable[[], None] | None = None
        self._go = threading.Lock()
        self._go.acquire()
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        self.ident = self._thread.ident

    @property
    def name(self) -> str:
        return self._thread.name

    def begin(self, call: Callable[[], None], name: str) -> None:
        self._call = call
        self._thread.name = name

    def turn(self) -> None:
        world = self._world
        if self not in world._busy:
            return
        world._running = self
        self._go.release()
        if not world._back.acquire(timeout=world._patience):
            frame = sys._current_frames().get(self.ident or 0)
            where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
            world._loop.failure = Deadlock(
                f"thread {self.name} keeps its turn for {world._patience:g} s{where}: it waits for "
                "something that is not of this world"
            )
        world._running = None

    def wait(self) -> None:
        self._world._back.release()
        self._go.acquire()
        if self._world._closed:
            raise CancelledError("the world is closed")

    def end(self) -> None:
        self._go.release()
        self._thread.join()

    def _main(self) -> None:
        world = self._world
        while True:
            self._go.acquire()
            call, self._call = self._call, None
            if call is None:
                return
            if not world._closed:
                call()
            del call
            del world._busy[self]
            world._idle.append(self)
            world._back.release()


class _Loop(BaseEventLoop):
    """asyncio's own loop with a clock that jumps; it is its own selector."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, world: SimWorld, order: random.Random) -> None:
        super().__init__()
        self.trace = hashlib.blake2b(digest_size=16)
        self.failure: Deadlock | None = None
        self._selector = self
        self._world = world
        self._order = order
        self._time = 0.0
        self._tasks = 0

    def __del__(self) -> None:
        """Nothing to warn of: there are no sockets."""

    def time(self) -> float:
        return self._time

    def select(self, timeout: float | None) -> tuple[()]:
        if self.failure is not None:
            raise self.failure
        if timeout is None:
            raise Deadlock(f"nothing can go on at {self._time:g} s: {self._who_waits()}")
        if timeout > 0:
            self._time = max(self._time, self._scheduled[0].when())
        else:
            self._shuffle()
        return ()

    def create_task(self, coro: Any, **options: Any) -> Any:
        self._tasks += 1
        if not options.get("name"):
            options["name"] = f"{getattr(coro, '__qualname__', 'task')}#{self._tasks}"
        return super().create_task(coro, **options)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        return self.create_task(self._world.run(func, *args))

    def _shuffle(self) -> None:
        """Put what is ready in an order of the seed. Callbacks that are neither tasks nor threads
        keep their places: asyncio promises theirs."""
        handles = list(self._ready)
        owners = [
            getattr(getattr(handle, "_callback", None), "__self__", None) for handle in handles
        ]
        places = [n for n, o in enumerate(owners) if isinstance(o, asyncio.Task | _Worker)]
        if len(places) > 1:
            new = places.copy()
            self._order.shuffle(new)
            moved = [(place, handles[n], owners[n]) for place, n in zip(places, new, strict=True)]
            for place, handle, owner in moved:
                handles[place], owners[place] = handle, owner
            self._ready.clear()
            self._ready.extend(handles)
        self.trace.update(repr((self._time, [_name(o) for o in owners])).encode())

    def _who_waits(self) -> str:
        tasks = (f"task {_name(task)}{_place(task)}" for task in asyncio.all_tasks(self))
        threads = (f"thread {worker.name}" for worker in self._world._busy)
        return ", ".join([*sorted(tasks), *threads]) or "nobody is there to go on"

    def _process_events(self, events: Any) -> None: ...

    def _write_to_self(self) -> None: ...

    def _check_thread(self) -> None: ...


def _name(owner: Any) -> str:
    if isinstance(owner, asyncio.Task):
        return owner.get_name()
    return owner.name if isinstance(owner, _Worker) else ""


def _place(task: asyncio.Task[Any]) -> str:
    """Where the innermost coroutine of a task waits, asyncio's own left out."""
    coroutine: Any = task.get_coro()
    place = ""
    while hasattr(coroutine, "cr_frame"):
        frame = coroutine.cr_frame
        if frame and frame.f_globals.get("__package__") != "asyncio":
            place = f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
    return place
