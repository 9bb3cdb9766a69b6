"""The simulator: a server and any number of sites in one process, deterministic under a seed.

Calls go straight from function to function; what a site receives is its own copy, as if it had
travelled.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flk.calls import Fault, LocalDispatcher, Participant
from flk.errors import StorageError, UsageError
from flk.job import CheckpointManager, Execution, Recipe, Run
from flk.registry import installed, load
from flk.spi.environment import Environment
from flk.spi.executor import Executor
from flk.spi.records import RunRecord
from flk.wire import Codecs, decode, encode
from flk.world import RealWorld, World

from flk_env_sim.faults import fault_plan
from flk_env_sim.spill import spill_to

__all__ = ["SimEnv"]

_DEFAULT = 5


class SimEnv(Environment):
    """`flk.env.sim(num_clients=5, seed=0)`; the sites are called `site-1` to `site-N`.

    num_clients: how many sites; by default 5, or as many as the recipe needs.
    sites: their names instead.
    seed: what `flk.rng()` and `flk.seed()` derive from; None takes a new one each time.
    folder: the run folder. With one, committed rounds are durable: a run that died goes on there
        after its last committed round; another job, seed or list of sites is refused. Code is not
        compared: change it, and what is committed stays. Without, a new folder `runs/<run>` takes
        what trackers write, and nothing is resumed.
    executor: `serial` (one site after the other), the name of another executor plugin, or an
        Executor object.
    share: pass references instead of copies: faster, and sites that change what they receive
        disturb each other.
    strict: pass every value through the serializers, so that what works here can be deployed.
    faults: see `flk_env_sim.faults`.
    world: time, randomness, threads and files; without it each run has real ones of its own, which
        end with it.
    """

    def __init__(
        self,
        num_clients: int | None = None,
        *,
        sites: Sequence[str] | None = None,
        seed: int | None = 0,
        folder: str | Path | None = None,
        executor: str | Executor = "serial",
        share: bool = False,
        strict: bool = False,
        faults: Mapping[str, Any] | Callable[[str, str, int], Fault | None] | None = None,
        world: World | None = None,
    ) -> None:
        if sites is None:
            if num_clients is not None and (type(num_clients) is not int or num_clients < 1):
                raise UsageError(f"num_clients={num_clients!r} is not a number of sites")
            sites = _numbered(num_clients or 0)
        elif num_clients not in (None, len(sites)):
            raise UsageError(f"num_clients={num_clients} and {len(sites)} names in sites= differ")
        elif len(set(sites)) != len(sites) or "server" in sites or not sites:
            raise UsageError(
                "sites= needs different names, at least one, and none of them 'server'"
            )
        if share and strict:
            raise UsageError("share=True and strict=True exclude each other")
        self.sites = tuple(sites)
        self.seed = seed
        self.folder = None if folder is None else Path(folder)
        self.executor = executor
        self.share = share
        self.strict = strict
        self.faults = faults
        self._world = world
        self._runs: list[Run] = []

    def deploy(self, recipe: Recipe) -> Run:
        sites = self.sites or _numbered(max(_DEFAULT, recipe.min_clients))
        recipe.check_sites(sites)
        codecs = recipe.codecs()
        world = self._world or RealWorld()
        client = recipe.client_app()
        executor = self._make_executor()
        run_id = _run_id(recipe.job_name, world)
        record = RunRecord(
            id=run_id,
            job=recipe.job_name,
            environment="sim",
            sites=sites,
            folder=self._run_folder(recipe, run_id),
            started=world.wall(),
            seed=self.seed,
            config=recipe.settings(),
        )
        lock = _FolderLock(self.folder)

        def release() -> None:
            lock.release()
            if world is not self._world:
                world.close()

        try:
            execution = Execution(
                recipe,
                record,
                world,
                checkpoints=self._checkpoints(world, codecs),
                at_end=release,
            )
            participants = {"server": execution.server}
            for name in sites:
                props = {**recipe.config, **recipe.site_config.get(name, {})}
                participants[name] = Participant(name, client.for_site(), props)
                participants[name].state.update(execution.restored_sites.get(name, {}))
            dispatcher = LocalDispatcher(
                execution.scope,
                participants,
                executor,
                **self._copying(codecs),
                spill=spill_to(record.folder, codecs),
                faults=fault_plan(self.faults, execution.scope.seed, sites),
            )
        except BaseException:
            release()
            raise
        execution.site_states = lambda: {
            name: p.settled_state() for name, p in participants.items() if p.state
        }
        run = execution.start(dispatcher)
        self._runs = [*(other for other in self._runs if not other.done), run]
        return run

    def stop(self) -> None:
        for run in self._runs:
            run.abort("the simulator was stopped")
            run.wait()
        self._runs.clear()

    def _make_executor(self) -> Executor:
        if isinstance(self.executor, Executor):
            return self.executor
        made: Executor = load("executor", self.executor)()
        return made

    def _copying(self, codecs: Codecs) -> dict[str, Any]:
        if self.share:
            return {"copy": None}
        if not self.strict:
            return {}

        def through_serializers(value: Any) -> Any:
            encoded = encode(value, codecs).owned()
            return decode(encoded.skeleton, encoded.buffers, codecs)

        return {"copy": through_serializers}

    def _checkpoints(self, world: World, codecs: Codecs) -> CheckpointManager | None:
        if self.folder is None:
            return None
        store = load("store", "file").open(str(self.folder / "checkpoints"), world)
        return CheckpointManager(store, "rounds", codecs)

    def _run_folder(self, recipe: Recipe, run_id: str) -> Path | None:
        if self.folder is not None:
            return self.folder.absolute()
        wanted = recipe.trackers
        if wanted is None:
            wanted = [p.name for p in installed("tracker") if p.name == "jsonl"]
        return (Path("runs") / run_id).absolute() if wanted else None


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"site-{n}" for n in range(1, count + 1))


def _run_id(job: str, world: World) -> str:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(world.wall()))
    return f"{job}-{stamp}-{world.secret(2).hex()}"


class _FolderLock:
    """One process at a time in a run folder; the lock dies with the process."""

    def __init__(self, folder: Path | None) -> None:
        self._fd = -1
        if folder is None:
            return
        import fcntl

        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StorageError(
                f"the run folder {folder} cannot be used: {error.strerror}",
                cure="Choose another folder= that can be written",
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            self._fd = -1
            raise UsageError(
                f"another run is going on in {folder}", cure="Wait for it, or choose another folder"
            ) from None

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
