"""A federation in one thread, so that the workflow is tested with no other plugin installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flk.calls import Call, Context, Dispatcher, Participant, entered, trees
from flk.errors import CallError
from flk.job import Execution, Recipe, Run
from flk.spi.environment import Environment
from flk.spi.records import RunRecord
from flk.world import RealWorld

__all__ = ["DirectEnv", "run"]


class _Direct(Dispatcher):
    def __init__(self, participants: Mapping[str, Participant]) -> None:
        self._participants = participants

    def sites(self) -> tuple[str, ...]:
        return tuple(name for name in self._participants if name != "server")

    def start(self, call: Call) -> None:
        for index, site in enumerate(call.targets):
            participant = self._participants[site]
            try:
                function = participant.app.lookup(call.function, None, site).function
                with entered(Context(call.run, participant, call.caller, call.round, call)):
                    value = function(*trees.copy(call.args), **trees.copy(call.kwargs))
            except Exception as error:
                call.fail(index, CallError(f"{site}: {error}", site=site))
            else:
                call.succeed(index, value)

    def drive(self, call: Call, enough: Callable[[], bool]) -> None:
        return None

    async def drive_async(self, call: Call, enough: Callable[[], bool]) -> None:
        return None

    def everywhere(self, phase: str, names: Iterable[str]) -> dict[str, CallError]:
        return {}

    def drain(self) -> None:
        return None

    def close(self) -> None:
        return None

    def wake(self) -> None:
        return None


class DirectEnv(Environment):
    """`site-1` to `site-N`, one after the other; no faults, no folder."""

    def __init__(self, sites: int) -> None:
        self._sites = tuple(f"site-{n}" for n in range(1, sites + 1))
        self._world = RealWorld()

    def deploy(self, recipe: Recipe) -> Run:
        record = RunRecord(
            id="run",
            job=recipe.job_name,
            environment="direct",
            sites=self._sites,
            folder=None,
            started=0.0,
            seed=7,
            config=dict(recipe.config),
        )
        execution = Execution(recipe, record, self._world)
        participants = {"server": execution.server}
        for name in self._sites:
            participants[name] = Participant(name, recipe.client_app().for_site(), recipe.config)
        dispatcher = execution.scope.dispatcher = _Direct(participants)
        return execution.start(dispatcher)

    def stop(self) -> None:
        self._world.close()


def run(workflow: Any, client: Any, sites: int = 4, **config: Any) -> Run:
    """One run to its end."""
    environment = DirectEnv(sites)
    try:
        return Recipe("test", workflow, client, trackers=[], config=config).execute(environment)
    finally:
        environment.stop()
