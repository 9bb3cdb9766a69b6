"""A federation inside one process and one file: the smallest environment and executor that keep
their contracts, to test what runs in any of them. `flk-env-sim` is the one for users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flk.calls import Fault, LocalDispatcher, Participant, trees
from flk.job import Execution, Recipe, Run
from flk.spi.environment import Environment
from flk.spi.executor import Executor, SiteTask
from flk.spi.records import RunRecord
from flk.world import RealWorld, World

__all__ = ["LocalEnv", "Memory", "OneByOne"]


class OneByOne(Executor):
    """One site after the other, in the caller's thread."""

    def open(self, world: World) -> None: ...

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

    def close(self) -> None: ...


class Memory:
    """Keeps the newest checkpoint, as CheckpointManager does on a disk. `saved` counts; saving
    raises `error` if one is set."""

    def __init__(self) -> None:
        self.newest: tuple[int, Any] | None = None
        self.saved = 0
        self.error: Exception | None = None

    def save(self, version: int, state: Any) -> None:
        if self.error is not None:
            raise self.error
        self.newest = version, trees.copy(state)
        self.saved += 1

    def restore(self) -> tuple[int, Any] | None:
        return trees.copy(self.newest)  # type: ignore[no-any-return]


class LocalEnv(Environment):
    """Sites are called `site-1` to `site-N`. `share` passes references, `faults` is asked as
    LocalDispatcher says, `checkpoints` makes runs resumable."""

    def __init__(
        self,
        num_clients: int = 3,
        *,
        seed: int | None = 0,
        executor: Executor | None = None,
        share: bool = False,
        faults: Callable[[str, str, int], Fault | None] | None = None,
        checkpoints: Memory | None = None,
        world: World | None = None,
    ) -> None:
        self.sites: Sequence[str] = tuple(f"site-{n}" for n in range(1, num_clients + 1))
        self._seed = seed
        self._executor = executor
        self._share = share
        self._faults = faults
        self._checkpoints: Any = checkpoints
        self._given = world
        self._world = world
        self._runs: list[Run] = []

    def deploy(self, recipe: Recipe) -> Run:
        recipe.check_sites(self.sites)
        client = recipe.client_app()
        world = self._world = self._world or RealWorld()
        record = RunRecord(
            id=f"{recipe.job_name}-{world.secret(4).hex()}",
            job=recipe.job_name,
            environment="local",
            sites=tuple(self.sites),
            folder=None,
            started=world.wall(),
            seed=self._seed,
            config=dict(recipe.config),
        )
        execution = Execution(recipe, record, world, checkpoints=self._checkpoints)
        participants = {"server": execution.server}
        for name in self.sites:
            props = {**recipe.config, **recipe.site_config.get(name, {})}
            participants[name] = Participant(name, client.for_site(), props)
            participants[name].state.update(execution.restored_sites.get(name, {}))
        execution.site_states = lambda: {n: p.settled_state() for n, p in participants.items()}
        copying: dict[str, Any] = {"copy": None} if self._share else {}
        executor = self._executor or OneByOne()
        run = execution.start(
            LocalDispatcher(execution.scope, participants, executor, faults=self._faults, **copying)
        )
        self._runs.append(run)
        return run

    def stop(self) -> None:
        for run in self._runs:
            run.abort("the environment was stopped")
            run.wait()
        self._runs.clear()
        if self._given is None and self._world is not None:
            self._world.close()
            self._world = None
