"""One call of one site's function in this process: whose it is, what it copies, what it raises.
Order and time are the dispatcher's business."""

from __future__ import annotations

import inspect
import math
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Protocol

from flk.calls.app import ClientApp, Export
from flk.calls.call import MISSING, Call
from flk.calls.context import Context, Participant, RunScope, _current, entered
from flk.calls.results import Stream, in_coroutine
from flk.errors import CallError, SiteLost

__all__ = ["Batch", "Fault", "Host", "Phase", "Task", "as_call_error"]

_TEXT = 2_000
_TRACEBACK = 20_000
_LAZY = frozenset({GeneratorType, AsyncGeneratorType, CoroutineType})


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one call of one site. All false: nothing.

    delay: virtual seconds until its answer arrives. lost: the call never reaches it. reply_lost: it
    does the work and the answer is lost. restart: the process dies and comes back with a new
    instance and its durable state only. spoil: applied to the value it returns. repeat: its answer
    arrives twice.
    """

    delay: float = 0.0
    lost: bool = False
    reply_lost: bool = False
    restart: bool = False
    repeat: bool = False
    spoil: Callable[[Any], Any] | None = None


class Host(Protocol):
    """What a task needs of its dispatcher."""

    run: RunScope
    copy: Callable[[Any], Any] | None
    participants: dict[str, Participant]


class Task(Context):
    """See flk.spi.executor.SiteTask. It is also the context of the code that it calls."""

    attempt = 0
    fault: Fault | None = None
    running: set[Task] | None = None
    started = 0.0

    def __init__(
        self, host: Host, parent: Call, index: int, participant: Participant, export: Export
    ) -> None:
        self._host = host
        self.parent = self._call = parent
        self.index = index
        self.participant = self._participant = participant
        self.target, self.is_async = export
        self._run = parent.run
        self._round = parent.round
        self.caller = parent.caller or participant.name

    @property
    def function(self) -> str:
        return self.parent.function

    @property
    def args(self) -> tuple[Any, ...]:
        return self.parent.args

    @property
    def kwargs(self) -> dict[str, Any]:
        return self.parent.kwargs

    def call(self) -> Any:
        if self.running is None:
            return self._run_here()
        self.started = self._host.run.world.now()
        self.running.add(self)
        try:
            return self._run_here()
        finally:
            self.running.discard(self)

    def _run_here(self) -> Any:
        participant = self.participant
        parent, copy = self.parent, self._host.copy
        memory = self._memory_key() if parent.remembers else None
        if memory is not None and memory in participant.answers:
            return self._answer(participant.answers[memory])
        if participant.broken is not None or self.fault is not None:
            self._before()
        args, kwargs = parent.args, parent.kwargs
        if copy is not None:
            args, kwargs = copy(args), (copy(kwargs) if kwargs else kwargs)
        token = _current.set(self)
        try:
            value = self.target(*args, **kwargs)
            if type(value) in _LAZY:
                if type(value) is not CoroutineType:
                    return _stream(self._host, self, value)
                value = self._host.run.world.enter(value)
        finally:
            _current.reset(token)
        if memory is not None:
            self._remember(memory, value)
        return value if self.fault is None else self._answer(value)

    async def call_async(self) -> Any:
        participant = self.participant
        memory = self._memory_key() if self.parent.remembers else None
        if memory is not None and memory in participant.answers:
            return self._answer(participant.answers[memory])
        if participant.broken is not None or self.fault is not None:
            await self._host.run.world.run(self._before)
        args, kwargs = self._arguments()
        with entered(self):
            value = await self.target(*args, **kwargs)
        if memory is not None:
            self._remember(memory, value)
        return self._answer(value)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        copy, parent = self._host.copy, self.parent
        if copy is None:
            return parent.args, parent.kwargs
        return (copy(parent.args) if parent.args else ()), (
            copy(parent.kwargs) if parent.kwargs else {}
        )

    def _memory_key(self) -> object:
        option = self.parent.option
        if option.key is not None:
            return (self.function, option.target, option.key)
        return (self.parent.id, self.index)

    def _remember(self, key: object, value: Any) -> None:
        copy = self._host.copy
        self.participant.remember(key, value if copy is None else copy(value))

    def _before(self) -> None:
        fault, broken = self.fault, self.participant.broken
        if broken is not None:
            raise SiteLost(
                f"{self.site} could not start: {broken}",
                site=self.site,
                function=self.function,
                may_have_run=False,
            )
        if fault is not None and fault.restart:
            self._restart()
        if fault is not None and (fault.lost or fault.restart):
            raise SiteLost(
                f"{self.site} was lost before it ran {self.function}()",
                site=self.site,
                function=self.function,
                may_have_run=False,
            )

    def _answer(self, value: Any) -> Any:
        fault = self.fault
        if fault is None:
            return value
        if fault.reply_lost:
            raise SiteLost(
                f"{self.site} was lost after it ran {self.function}()",
                site=self.site,
                function=self.function,
            )
        return value if fault.spoil is None else fault.spoil(value)

    def _restart(self) -> None:
        participant = self.participant
        if isinstance(participant.app, ClientApp):
            participant.restart(participant.app.for_site())
            with entered(self):
                Phase(self._host, self.site, "init")()


class Phase:
    """All `init` or `final` functions of a participant and its children, one after the other; the
    first error is raised after the last."""

    def __init__(self, host: Host, site: str, phase: str) -> None:
        self._host, self._site, self._phase = host, site, phase

    def __call__(self) -> None:
        app = self._host.participants[self._site].app
        first: BaseException | None = None
        for part in (app, *app.children.values()):
            for function in getattr(part, self._phase + "s").values():
                try:
                    outcome = function()
                    if inspect.iscoroutine(outcome):
                        self._host.run.world.enter(outcome)
                except BaseException as error:
                    first = first or error
        if first is not None:
            raise first


class Batch:
    """Tasks of one call whose answers are due at the same instant.

    `feed` gives them out for one `generation`: whoever took them before and hangs gets no more.
    """

    __slots__ = (
        "at", "call", "generation", "is_async", "order", "running", "shortest", "tasks", "watched"
    )  # fmt: skip

    def __init__(self, at: float, order: int, call: Call, tasks: list[Task]) -> None:
        self.at, self.order, self.call = at, order, call
        self.tasks = deque(tasks)
        self.is_async = tasks[0].is_async
        limits = call.option.patience, call.option.grace
        self.shortest = min((limit for limit in limits if limit is not None), default=math.inf)
        self.watched = self.shortest < math.inf
        self.running: set[Task] = set()
        self.generation = 0
        if self.watched:
            for task in tasks:
                task.running = self.running

    def __lt__(self, other: Batch) -> bool:
        return (self.at, self.order) < (other.at, other.order)

    def limit(self, task: Task) -> float:
        """When a running task has taken too long, by the world's clock: its time counts from its
        start, grace from the quorum at the earliest."""
        option, quorum = self.call.option, self.call.quorum_at
        end = math.inf if option.patience is None else task.started + option.patience
        if option.grace is not None and quorum is not None:
            end = min(end, max(task.started, quorum) + option.grace)
        return end

    def feed(self, enough: Callable[[], bool]) -> Iterator[Task]:
        """The tasks one by one, until the caller has enough, the run is aborted or the batch is
        given to another."""
        tasks, call, run, mine = self.tasks, self.call, self.call.run, self.generation
        while (
            tasks
            and not (call.cancelled or (run.aborted and not call.must_run) or enough())
            and mine == self.generation
        ):
            yield tasks.popleft()


def as_call_error(task: Task, error: BaseException) -> CallError:
    """What the caller is told of an error at the site: bounded, with the cause."""
    text = "".join(traceback.format_exception(error, chain=not isinstance(error, CallError)))
    if isinstance(error, CallError):
        text = f"{error.remote_traceback}\nwhich led to\n\n{text}"
    if len(text) > _TRACEBACK:
        text = f"{text[: _TRACEBACK // 2]}\n...\n{text[-_TRACEBACK // 2 :]}"
    kind = type(error).__name__
    try:
        said = str(error)
    except Exception:
        said = "its text cannot be read"
    if len(said) > _TEXT:
        said = f"{said[:_TEXT]}..."
    wrapped = CallError(
        f"{task.site}: {task.function}() raised {kind}: {said}".rstrip(": "),
        site=task.site,
        function=task.function,
        kind=kind,
        remote_traceback=text,
    )
    wrapped.__cause__ = error.with_traceback(None)
    return wrapped


def _stream(host: Host, task: Task, generator: Any) -> Stream:
    world = host.run.world
    asynchronous = isinstance(generator, AsyncGeneratorType)

    def own(item: Any) -> Any:
        return item if host.copy is None or item is MISSING else host.copy(item)

    def step() -> Any:
        try:
            with entered(task):
                return own(next(generator, MISSING))
        except BaseException as error:
            raise as_call_error(task, error) from error

    async def step_async() -> Any:
        import asyncio

        if not asynchronous:
            return await world.run(step)
        try:
            with entered(task):
                return own(await anext(generator, MISSING))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            raise as_call_error(task, error) from error

    def step_sync() -> Any:
        return world.enter(step_async()) if asynchronous else step()

    def close() -> None:
        if not asynchronous:
            generator.close()
        elif in_coroutine():
            world.spawn(generator.aclose(), f"close {task.function}")
        else:
            world.enter(generator.aclose())

    return Stream(step_sync, step_async, close)
