"""Sites in this process, called one after the other: the smallest environment there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flk.calls import LocalDispatcher, Participant
from flk.errors import UsageError
from flk.job import Execution, Recipe, Run
from flk.spi.environment import Environment
from flk.spi.executor import Executor, SiteTask
from flk.spi.records import RunRecord
from flk.world import RealWorld, World

__all__ = ["AcmeEnvironment"]


class AcmeEnvironment(Environment):
    """`sites`: their names. Runs keep no folder and are not resumed."""

    def __init__(self, sites: Sequence[str] = ("site-1", "site-2")) -> None:
        if len(set(sites)) != len(sites) or "server" in sites or not sites:
            raise UsageError("sites need different names, at least one, and none of them 'server'")
        self.sites = tuple(sites)
        self._world: World | None = None
        self._runs: list[Run] = []

    def deploy(self, recipe: Recipe) -> Run:
        recipe.check_sites(self.sites)
        client = recipe.client_app()
        world = self._world = self._world or RealWorld()
        record = RunRecord(
            id=f"{recipe.job_name}-{world.secret(4).hex()}",
            job=recipe.job_name,
            environment="acme",
            sites=self.sites,
            folder=None,
            started=world.wall(),
            config=dict(recipe.config),
        )
        execution = Execution(recipe, record, world)
        participants = {"server": execution.server}
        for name in self.sites:
            props = {**recipe.config, **recipe.site_config.get(name, {})}
            participants[name] = Participant(name, client.for_site(), props)
        run = execution.start(LocalDispatcher(execution.scope, participants, _OneByOne()))
        self._runs.append(run)
        return run

    def stop(self) -> None:
        for run in self._runs:
            run.abort("the environment was stopped")
            run.wait()
        self._runs.clear()
        if self._world is not None:
            self._world.close()
            self._world = None


class _OneByOne(Executor):
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
