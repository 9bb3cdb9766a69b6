"""Everything around one algorithm in one process: bus, trackers, checkpoints, life cycle and the
end. Environments and the server job both drive their runs with it; where calls go is the
dispatcher's business."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flk.calls.context import Context, Participant, RunScope, entered
from flk.errors import ConfigError, FlkError, QuorumError, RunAborted, printable
from flk.job.place import sentence
from flk.job.recipe import Recipe
from flk.job.rounds import Ledger
from flk.job.run import LogLine, Run
from flk.job.tracking import PATIENCE, Trackers
from flk.registry import Bus
from flk.spi.records import Fact, Metric, RunRecord
from flk.world import World

if TYPE_CHECKING:
    from flk.calls.dispatch import Dispatcher
    from flk.job.checkpoints import CheckpointManager

__all__ = ["Execution", "is_plain"]

_log = logging.getLogger("flk")


class Execution:
    """One run at the server's side. Made by an environment: `Execution(...)`, then
    `start(make_dispatcher)`.

    `checkpoints` makes committed rounds durable and brings back what an earlier process of this run
    left; `site_states` and `restored_sites` do the same for the sites that live in this process. A
    record without a seed takes that of the earlier process, else a new one.
    """

    def __init__(
        self,
        recipe: Recipe,
        record: RunRecord,
        world: World,
        *,
        checkpoints: CheckpointManager | None = None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.recipe = recipe
        self._at_end = at_end
        self.world = world
        self.app = recipe.server_app()
        self.server = Participant("server", self.app, recipe.config)
        self.site_states: Callable[[], Mapping[str, Any]] = dict
        self._arguments = recipe.arguments(self.app)
        self._checkpoints = checkpoints
        version, payload = self._restore(record)
        if record.seed is None:
            record = replace(record, seed=payload.get("seed", world.rng().getrandbits(48)))
        self.bus = Bus(world)
        self.bus.load_observers()
        self.scope = RunScope(
            record, world, emit=self._emit, notify=self.bus.notify, listens=self.bus.listens
        )
        self.scope.durable = checkpoints is not None
        self.run = Run(record, join=self._join, abort=self.abort)
        self.run.failures = self.scope.failures
        self._trackers = Trackers(recipe.trackers, self.bus, world)
        self._ended: Callable[[float | None], bool] = lambda timeout: True
        self._started = world.now()
        self.scope.ledger = Ledger(
            self.scope, self._save if checkpoints else None, version, payload.get("loops", {})
        )
        self.restored_sites: dict[str, Any] = payload.get("states", {})

    def start(self, dispatcher: Dispatcher) -> Run:
        """Begin in a thread of its own and return at once. The dispatcher is closed at the end."""
        self._dispatcher = dispatcher
        self._ended = self.world.thread(self._main, "flk-run")
        return self.run

    def abort(self, reason: str) -> None:
        """End the run in good order; from any thread."""
        if not self.run.done and not self.scope.aborted:
            self.scope.aborted = reason
            self._dispatcher.wake()

    # the run's thread -----------------------------------------------------------------------------

    def _main(self) -> None:
        status, run = "completed", self.run
        handler = _Capture(self)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            self._admit()
            run.result = self._conduct()
        except BaseException as error:
            run.error = error
            status = "aborted" if self.scope.aborted else "failed"
            if status == "aborted" and not isinstance(error, RunAborted):
                run.error = RunAborted(self.scope.aborted)
        finally:
            try:
                self._finish(status)
            finally:
                root.removeHandler(handler)
                run.status = status
                self._at_end()

    def _admit(self) -> None:
        record = self.scope.record
        self.bus.decide("flk_admit_run", run=record)
        self._trackers.start(record)
        self.bus.notify("flk_on_run_started", run=record)

    def _conduct(self) -> Any:
        sites = self.scope.record.sites
        try:
            self._begin(sites)
            with entered(Context(self.scope, self.server, "server", None)):
                outcome = self.app.algo(**self._arguments)
                if inspect.iscoroutine(outcome):
                    outcome = self.world.enter(outcome)
            self._dispatcher.drain()
            self._look()
        finally:
            for site, error in self._dispatcher.everywhere("final", [*sites, "server"]).items():
                _log.warning("final of %s: %s", site, error)
        return outcome

    def _begin(self, sites: Sequence[str]) -> None:
        failures = self._dispatcher.everywhere("init", ["server", *sites])
        self._look()
        if "server" in failures:
            raise failures["server"]
        if len(sites) - len(failures) < self.recipe.min_clients:
            first = next(iter(failures.values()), None)
            raise QuorumError(
                f"{len(sites) - len(failures)} of {len(sites)} sites could start, and the job "
                f"needs {self.recipe.min_clients} ({first})",
                failures=failures,
            )
        for site, error in failures.items():
            _log.warning("init of %s: %s", site, error)

    def _look(self) -> None:
        if self.scope.aborted:
            raise RunAborted(self.scope.aborted)

    def _finish(self, status: str) -> None:
        run, record = self.run, self.scope.record
        run.seconds = self.world.now() - self._started
        run.rounds = self.scope.rounds_done
        error = "" if run.error is None else sentence(run.error)
        try:
            self._dispatcher.close()
        except BaseException as defect:
            _log.warning("the executor cannot be closed: %s", sentence(defect))
        summary = {"seconds": run.seconds, "rounds": run.rounds, "error": error}
        if is_plain(run.result):
            summary["result"] = run.result
        self._trackers.finish(status, summary)
        self.bus.notify(
            "flk_on_run_finished", run=record, status=status, error=error, seconds=run.seconds
        )
        self.bus.close(PATIENCE)

    def _join(self, timeout: float | None) -> bool:
        return self._ended(timeout)

    # metrics --------------------------------------------------------------------------------------

    def _emit(self, record: Metric | Fact) -> None:
        if isinstance(record, Metric):
            self.run.metrics.append(record)
        else:
            self.run.facts.append(record)
        self._trackers.log(record)
        if self.bus.listens("flk_on_metrics"):
            self.bus.notify("flk_on_metrics", run=self.scope.record, records=(record,))

    # checkpoints ----------------------------------------------------------------------------------

    def _restore(self, record: RunRecord) -> tuple[int, dict[str, Any]]:
        """Version and payload of the newest checkpoint; version 0 where nothing is committed."""
        found = self._checkpoints.restore() if self._checkpoints is not None else None
        if found is None:
            return 0, {}
        for key, mine in (("job", record.job), ("seed", record.seed), ("sites", [*record.sites])):
            stored = found[1].get(key)
            if mine is not None and stored != mine:
                raise ConfigError(
                    f"the folder has a run with {key} {_short(stored)}, not {_short(mine)}",
                    cure="Choose another folder, or remove this one to start anew",
                )
        return found

    def _save(self, version: int, loops: dict[str, Any]) -> None:
        assert self._checkpoints is not None
        self._checkpoints.save(
            version,
            {
                "job": self.recipe.job_name,
                "seed": self.scope.seed,
                "sites": list(self.scope.record.sites),
                "loops": loops,
                "states": dict(self.site_states()),
            },
        )


class _Capture(logging.Handler):
    """Keeps what code of the run logs, with the site it ran at."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(logging.INFO)
        self._execution = execution

    def emit(self, record: logging.LogRecord) -> None:
        from flk.calls.context import current

        text = printable(self.format(record)[:10_000])
        try:
            here = current()
            site = here.site if here._run is self._execution.scope else None
        except FlkError:
            site = "server" if record.name == "flk" else None
        if site is not None:
            self._execution.run.logs.append(LogLine(record.created, site, record.levelname, text))
        last = logging.lastResort
        if last and record.levelno >= last.level and logging.getLogger().handlers == [self]:
            # who configured no logging still sees warnings
            last.handle(logging.makeLogRecord({"msg": text, "levelno": record.levelno}))


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 4:
        return f"{', '.join(value[:3])} and {len(value) - 3} more"
    return ", ".join(value) if isinstance(value, list) else repr(value)


def is_plain(value: Any) -> bool:
    """Whether a result can be told to trackers: JSON types, lists up to 10,000 items."""
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return len(value) <= 10_000 and all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
