"""The executor that lets several simulated sites work at once, each in a thread of a bounded pool.

It pays where the sites' code leaves the interpreter (numpy, torch, I/O), or waits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar

from flk.errors import UsageError
from flk.spi.executor import Executor, SiteTask
from flk.world import World

__all__ = ["ThreadsExecutor"]


class ThreadsExecutor(Executor):
    """`workers` threads (default: one a core) take tasks from one iterator; nobody waits for the
    slowest but the end."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"parallel"})

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and (type(workers) is not int or workers < 1):
            raise UsageError(f"workers={workers!r} is not a count of at least 1")
        self.workers = workers or os.cpu_count() or 1

    def open(self, world: World) -> None:
        self._world = world

    def run(
        self,
        tasks: Iterable[SiteTask],
        done: Callable[[SiteTask, Any, BaseException | None], None],
        parallel: int,
    ) -> None:
        shared = _Shared(iter(tasks))
        count = min(self.workers, parallel) if parallel else self.workers

        def work(task: SiteTask | None) -> None:
            while task is not None:
                value: Any = None
                failure: BaseException | None = None
                try:
                    value = task.call()
                except BaseException as error:
                    failure = error
                try:
                    done(task, value, failure)
                except BaseException as error:
                    shared.defect = error
                del value, failure  # before the next site works
                task = shared.take()

        mine = shared.take()
        joins: list[Callable[[float | None], bool]] = []
        while len(joins) < count - 1 and (other := shared.take()) is not None:
            name = f"flk-site-{len(joins) + 1}"
            joins.append(self._world.thread(partial(work, other), name))
        work(mine)
        for join in joins:
            join(None)
        if shared.defect is not None:
            raise shared.defect

    def close(self) -> None:
        return None


class _Shared:
    """The iterator that all workers take from, and the error that ends the batch."""

    def __init__(self, tasks: Iterator[SiteTask]) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()
        self.defect: BaseException | None = None

    def take(self) -> SiteTask | None:
        with self._lock:
            if self.defect is not None:
                return None
            try:
                return next(self._tasks, None)
            except BaseException as error:
                self.defect = error
                return None
