"""The executor that lets one site work after the other, in the caller's thread: the fastest for
short work, and the easiest to debug."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flk.spi.executor import Executor, SiteTask
from flk.world import World

__all__ = ["SerialExecutor"]


class SerialExecutor(Executor):
    """One by one, in the order of the tasks."""

    def open(self, world: World) -> None:
        return None

    def run(
        self,
        tasks: Iterable[SiteTask],
        done: Callable[[SiteTask, Any, BaseException | None], None],
        parallel: int,
    ) -> None:
        for task in tasks:
            try:
                value = task.call()
            except BaseException as error:
                done(task, None, error)
            else:
                done(task, value, None)
                del value  # before the next is made

    def close(self) -> None:
        return None
