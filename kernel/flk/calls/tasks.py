"""One call of one site's function in this process: whose it is, what it copies, what it raises.
Order and time are the dispatcher's business."""

from __future__ import annotations

import inspect
import math
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Protocol

from flk.calls.app import ClientApp
from flk.calls.call import MISSING, Call
from flk.calls.context import Context, Participant, RunScope, _current, entered
from flk.calls.dispatch import never
from flk.calls.results import Stream, in_coroutine
from flk.errors import CallError, SiteLost, printable, said

__all__ = ["Batch", "Fault", "Host", "Phase", "Seat", "Task", "as_call_error"]

_TEXT = 2_000
_TRACEBACK = 20_000
Seat = tuple[int, Participant, Callable[..., Any]]
_LAZY = frozenset({GeneratorType, AsyncGeneratorType, CoroutineType})


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls one call of one site. All false: nothing.

    delay: virtual seconds until its answer arrives.
    lost: the call never reaches it.
    reply_lost: it does the work and the answer is lost.
    restart: the process dies and comes back with a new instance and its durable state only.
    spoil: applied to the value it returns.
    repeat: its answer arrives twice.
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
    """See flk.spi.executor.SiteTask. It is also the context of the code that it calls. One is made
    when it is an executor's turn to run it."""

    __slots__ = ("batch", "index", "target")

    def __init__(
        self, batch: Batch, index: int, participant: Participant, target: Callable[..., Any]
    ) -> None:
        call = batch.call
        self.batch = batch
        self.index = index
        self.target = target
        self._call = call
        self._run = call.run
        self._round = call.round
        self._participant = participant
        self.caller = call.caller or participant.name

    @property
    def seat(self) -> Seat:
        return self.index, self._participant, self.target

    @property
    def function(self) -> str:
        return self.batch.call.function

    @property
    def args(self) -> tuple[Any, ...]:
        return self.batch.call.args

    @property
    def kwargs(self) -> dict[str, Any]:
        return self.batch.call.kwargs

    def call(self) -> Any:
        if self._participant.broken is not None:
            raise self._unstarted()
        call, copy = self._call, self.batch.host.copy
        args, kwargs = call.args, call.kwargs
        if copy is not None:
            args, kwargs = copy(args), (copy(kwargs) if kwargs else kwargs)
        token = _current.set(self)
        try:
            value = self.target(*args, **kwargs) if kwargs else self.target(*args)
            if type(value) in _LAZY:
                if type(value) is not CoroutineType:
                    return _stream(self.batch.host, self, value)
                value = self._run.world.enter(value)
        finally:
            _current.reset(token)
        return value

    async def call_async(self) -> Any:
        if self._participant.broken is not None:
            raise self._unstarted()
        copy, args, kwargs = self.batch.host.copy, self.args, self.kwargs
        if copy is not None:
            args, kwargs = copy(args), copy(kwargs)
        with entered(self):
            return await self.target(*args, **kwargs)

    def alone(self) -> AbstractContextManager[Any]:
        """Inside, a commit does not see what the code changes in the site's state."""
        return nullcontext()

    def _unstarted(self) -> SiteLost:
        return self._lost(f"could not start: {self._participant.broken}", may_have_run=False)

    def _lost(self, what: str, *, may_have_run: bool) -> SiteLost:
        return SiteLost(
            f"{self.site} {what}",
            site=self.site,
            function=self.function,
            may_have_run=may_have_run,
        )


class SpecialTask(Task):
    """One that something may befall, that has a deadline, whose answer is remembered, or whose
    site's state is stored."""

    __slots__ = ()

    def call(self) -> Any:
        batch = self.batch
        if not batch.watched:
            return self._once()
        batch.running[self] = self._run.world.now()
        try:
            return self._once()
        finally:
            batch.running.pop(self, None)

    def _once(self) -> Any:
        memory, answers = self._memory(), self._participant.answers
        if memory in answers:
            return self._answer(answers[memory])
        self._before()
        with self.alone():
            value = super().call()
        return value if type(value) is Stream else self._answer(self._remember(memory, value))

    async def call_async(self) -> Any:
        memory, answers = self._memory(), self._participant.answers
        if memory in answers:
            return self._answer(answers[memory])
        if self.batch.fault is not None:
            await self._run.world.run(self._before)
        with self.alone():
            value = await super().call_async()
        return self._answer(self._remember(memory, value))

    def alone(self) -> AbstractContextManager[Any]:
        if not self._run.durable or self.site == "server":  # which commits what it has just changed
            return nullcontext()
        return self._participant.working()

    def _memory(self) -> object:
        """What its answer is remembered by; None if it is not."""
        call = self.batch.call
        if not call.remembers:
            return None
        if call.option.key is not None:
            return (call.function, call.option.target, call.option.key)
        return (call.id, self.index)

    def _remember(self, memory: object, value: Any) -> Any:
        if memory is not None:
            copy = self.batch.host.copy
            self._participant.remember(memory, value if copy is None else copy(value))
        return value

    def _before(self) -> None:
        fault = self.batch.fault
        if fault is None or self._participant.broken is not None:
            return
        if fault.restart:
            self._restart()
        if fault.lost or fault.restart:
            raise self._lost(f"was lost before it ran {self.function}()", may_have_run=False)

    def _answer(self, value: Any) -> Any:
        fault = self.batch.fault
        if fault is None:
            return value
        if fault.reply_lost:
            raise self._lost(f"was lost after it ran {self.function}()", may_have_run=True)
        return value if fault.spoil is None else fault.spoil(value)

    def _restart(self) -> None:
        participant = self._participant
        if isinstance(participant.app, ClientApp):
            participant.restart(participant.app.for_site())
            with entered(self):
                Phase(self.batch.host, self.site, "init")()


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
    """Work of one call whose answers are due at the same instant: `seats` are the index of a
    target, its participant and the function to call.

    `feed` gives tasks out for one `generation`: whoever took them before and hangs gets no more.
    `fault` and `attempt` are of a batch with one seat.
    """

    __slots__ = (
        "at", "attempt", "call", "fault", "generation", "host", "is_async", "kind", "order",
        "running", "seats", "shortest", "watched",
    )  # fmt: skip

    def __init__(
        self,
        host: Host,
        at: float,
        order: int,
        call: Call,
        seats: Iterable[Seat],
        is_async: bool = False,
        fault: Fault | None = None,
        attempt: int = 0,
    ) -> None:
        self.host, self.at, self.order, self.call = host, at, order, call
        self.seats = deque(seats)
        self.is_async = is_async
        self.fault, self.attempt = fault, attempt
        limits = call.option.patience, call.option.grace
        self.shortest = min((limit for limit in limits if limit is not None), default=math.inf)
        self.watched = self.shortest < math.inf
        special = self.watched or fault is not None or call.remembers or call.run.durable
        self.kind = SpecialTask if special else Task
        self.running: dict[Task, float] = {}
        """When those that are watched started, by the world's clock."""
        self.generation = 0

    def __lt__(self, other: Batch) -> bool:
        return (self.at, self.order) < (other.at, other.order)

    def limit(self, started: float) -> float:
        """When a running task has taken too long, by the world's clock: its time counts from its
        start, grace from the quorum at the earliest."""
        option, quorum = self.call.option, self.call.quorum_at
        end = math.inf if option.patience is None else started + option.patience
        if option.grace is not None and quorum is not None:
            end = min(end, max(started, quorum) + option.grace)
        return end

    def feed(self, enough: Callable[[], bool]) -> Iterator[Task]:
        """The tasks one by one, until the caller has enough, the run is aborted or the batch is
        given to another."""
        seats, kind, mine = self.seats, self.kind, self.generation
        call, run = self.call, self.call.run
        while (
            seats
            and not (call.cancelled or (run.aborted and not call.must_run))
            and (enough is never or not enough())
            and mine == self.generation
        ):
            index, participant, target = seats.popleft()
            yield kind(self, index, participant, target)


def as_call_error(task: Task, error: BaseException) -> CallError:
    """What the caller is told of an error at the site: bounded, with the cause."""
    text = "".join(traceback.format_exception(error, chain=not isinstance(error, CallError)))
    if isinstance(error, CallError):
        text = f"{error.remote_traceback}\nwhich led to\n\n{text}"
    if len(text) > _TRACEBACK:
        text = f"{text[: _TRACEBACK // 2]}\n...\n{text[-_TRACEBACK // 2 :]}"
    text = printable(text)
    kind, what = type(error).__name__, said(error)
    if len(what) > _TEXT:
        what = f"{what[:_TEXT]}..."
    wrapped = CallError(
        f"{task.site}: {task.function}() raised {kind}: {what}".rstrip(": "),
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
            with task.alone(), entered(task):
                return own(next(generator, MISSING))
        except BaseException as error:
            raise as_call_error(task, error) from error

    async def step_async() -> Any:
        import asyncio

        if not asynchronous:
            return await world.run(step)
        try:
            with task.alone(), entered(task):
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
