"""Lets one site work after the other, in the caller's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from flk.spi.executor import Executor, SiteTask
from flk.world import World

__all__ = ["AcmeExecutor"]


class AcmeExecutor(Executor):
    """An executor with workers of its own takes them from the world and says `parallel`."""

    capabilities: ClassVar[frozenset[str]] = frozenset()

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

    def close(self) -> None:
        return None
