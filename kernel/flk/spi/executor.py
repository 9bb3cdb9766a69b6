"""Contract of the role *executor*: how one process lets many simulated sites work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol

from flk.world import World

__all__ = ["Executor", "SiteTask"]


class SiteTask(Protocol):
    """One call of one site's function, ready to run.

    site, function: names.
    call(): copies the arguments, enters the site's context, runs the user's function and returns
        its value; raises what the user's code raises.

    An executor that runs many sites at once by its own means (stacked tensors, another process)
    reads `site`, `function`, `target` (the user's callable) and `args, kwargs` (shared with all
    sites of the call: never changed) instead.
    """

    @property
    def site(self) -> str: ...

    @property
    def function(self) -> str: ...

    @property
    def target(self) -> Callable[..., Any]: ...

    @property
    def args(self) -> tuple[Any, ...]: ...

    @property
    def kwargs(self) -> dict[str, Any]: ...

    def call(self) -> Any: ...


class Executor(ABC):
    """Runs batches of tasks. Opened once a run; `run` blocks.

    `run` may be called by several threads at once, and a batch may never end: a site that hangs is
    given up where its call has a deadline, and the other batches go on beside it. `close` does not
    wait for such a batch.

    Capability `parallel`: tasks of a batch overlap in time.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def open(self, world: World) -> None:
        """Before the first batch. Threads and processes come from `world`."""

    @abstractmethod
    def run(
        self,
        tasks: Iterable[SiteTask],
        done: Callable[[SiteTask, Any, BaseException | None], None],
        parallel: int,
    ) -> None:
        """Run every task and tell each outcome once: `done(task, value, None)` or `done(task, None,
        error)`.

        Tasks are taken from the iterable as workers become free, never earlier: taking one
        allocates its arguments, and the iterable ends early when the call is cancelled. At most
        `parallel` run at once (0: as many as the executor has workers). `done` may be called from
        any of the executor's threads, by several at once; it may block to slow the producers down.
        Errors of the user's code, SystemExit and KeyboardInterrupt included, go to `done`; an error
        of `done` ends the batch and is raised here. Returns when every task taken was told.
        """

    @abstractmethod
    def close(self) -> None:
        """Release threads and processes. Idempotent."""
