"""One receiver that nobody waits for: a bounded queue, a thread, a deadline for each call and a
count of failures. The bus has one for each listener, a run one for each tracker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from flk.world import World

if TYPE_CHECKING:
    import asyncio

__all__ = ["FAILURES", "Courier", "Overdue"]

FAILURES = 3
"""A receiver that failed so many times is dropped."""


class Overdue(TimeoutError):
    """A call that did not return in time; it may be going on still."""


class Courier:
    """Calls `call(items)` in order, always from the same thread, with at most `batch` items at a
    time.

    A full queue loses its oldest item (`lost` counts). Whatever `call` raises, SystemExit included,
    goes to `failed(items, error, dropped)`; after three failures, or one call of more than
    `patience` seconds (told as Overdue; its thread is abandoned), the receiver is `dropped`:
    what waits and what comes is discarded. `failed` runs in the courier's thread or on the world's
    loop, so it must not block. The thread starts with the first item.
    """

    def __init__(
        self,
        world: World,
        name: str,
        call: Callable[[Sequence[Any]], Any],
        patience: float = 5.0,
        limit: int = 10_000,
        *,
        batch: int = 1,
        failed: Callable[[Sequence[Any], BaseException, bool], Any],
    ) -> None:
        self.name = name
        self.lost = 0
        self.failures = 0
        self.dropped = False
        self._world = world
        self._call = call
        self._failed = failed
        self._patience = patience
        self._limit = limit
        self._batch = batch
        self._lock = threading.Lock()
        self._queue: deque[Any] = deque()
        self._current: Sequence[Any] = ()
        self._since = 0.0
        self._watched = False
        self._asleep = False
        self._closed = False
        self._join: Callable[[float | None], bool] | None = None
        self._taken = 0
        self._done = 0
        self._waiting: list[tuple[int, asyncio.Event]] = []
        self._wake: asyncio.Event | None = None

    def put(self, item: Any) -> None:
        """Hand over one item and return at once. From any thread."""
        with self._lock:
            if self._closed or self.dropped:
                return
            if len(self._queue) >= self._limit:
                self._queue.popleft()
                self.lost += 1
                self._done += 1
            self._queue.append(item)
            self._taken += 1
            if self._join is None:
                self._join = self._world.thread(self._work, f"flk-{self.name}")
            else:
                self._rouse()

    def flush(self, timeout: float) -> bool:
        """Wait until what was put before was received; False if that took longer or the receiver
        was dropped. Not from the world's loop."""
        import asyncio

        arrived = asyncio.Event()
        with self._lock:
            if self._done >= self._taken:
                return not self.dropped
            self._waiting.append((self._taken, arrived))

        async def arrival() -> None:
            await asyncio.wait_for(arrived.wait(), timeout)

        try:
            self._world.enter(arrival())
        except TimeoutError:
            return False
        return not self.dropped

    def close(self, timeout: float) -> bool:
        """Take nothing more, wait for what is queued and end the thread; what is not received after
        `timeout` seconds is abandoned. Tells whether everything was received. Idempotent."""
        end = self._world.now() + timeout
        with self._lock:
            self._closed = True
            join = self._join
            if join is None or self.dropped:
                return not self.dropped
        arrived = self.flush(timeout)
        with self._lock:
            if not arrived:
                self._drop()
                self._reach(self._taken)
                return False
            self._rouse()
        join(max(0.0, end - self._world.now()))
        return True

    # the courier's thread -------------------------------------------------------------------------

    def _work(self) -> None:
        import asyncio

        self._wake = wake = asyncio.Event()
        while True:
            with self._lock:
                if self.dropped or (self._closed and not self._queue):
                    return
                count = min(self._batch, len(self._queue))
                items = [self._queue.popleft() for _ in range(count)]
                self._current, self._since = items, self._world.now()
                self._asleep = not items
                if items and not self._watched:
                    self._watched = True
                    self._world.call_at(self._since + self._patience, self._watch)
            if items:
                self._deliver(items)
            else:
                try:
                    self._world.enter(_passed(wake))
                except CancelledError:  # the world was closed
                    return

    def _deliver(self, items: Sequence[Any]) -> None:
        failure: BaseException | None = None
        try:
            self._call(items)
        except BaseException as error:
            failure = error
        with self._lock:
            if self.dropped:  # too late: it was abandoned and told so
                return
            self._current = ()
            if failure is not None:
                self.failures += 1
                if self.failures >= FAILURES:
                    self._drop()
        if failure is not None:
            self._failed(items, failure, self.dropped)
        with self._lock:
            self._reach(self._taken if self.dropped else self._done + len(items))

    def _watch(self) -> None:
        """On the loop: has the call under way taken too long?"""
        with self._lock:
            self._watched = bool(self._current) and not self.dropped
            if not self._watched:
                return
            due = self._since + self._patience
            if self._world.now() < due:
                self._world.call_at(due, self._watch)
                return
            items = self._current
            self._drop()
        self._failed(items, Overdue(f"did not return within {self._patience:g} seconds"), True)
        with self._lock:
            self._reach(self._taken)

    # under the lock -------------------------------------------------------------------------------

    def _rouse(self) -> None:
        if self._asleep and self._wake is not None:
            self._asleep = False
            self._world.call_at(self._world.now(), self._wake.set)

    def _drop(self) -> None:
        self.dropped = True
        self.lost += len(self._queue)
        self._queue.clear()

    def _reach(self, done: int) -> None:
        self._done = done
        reached = [event for target, event in self._waiting if target <= done]
        if reached:
            self._waiting = [wait for wait in self._waiting if wait[0] > done]
            for event in reached:
                self._world.call_at(self._world.now(), event.set)


async def _passed(gate: asyncio.Event) -> None:
    await gate.wait()
    gate.clear()
