"""Direct calls to participants in this process: the dispatcher of the simulator and of tests.

Time is virtual: a call's answers arrive at the instants that injected delays say, and in no time
without them; nothing sleeps. One heap of batches orders all calls, so a run under one seed takes
the same course again. A call that is open is worked on when somebody asks for its results, at the
latest before the next call or at the end of the run.
"""

from __future__ import annotations

import contextlib
import heapq
import inspect
import itertools
import math
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from flk.calls import trees
from flk.calls.app import ClientApp, Export
from flk.calls.call import MISSING, Call
from flk.calls.context import Context, Participant, RunScope, _current, entered
from flk.calls.dispatch import Dispatcher
from flk.calls.options import CallOption
from flk.calls.results import Stream
from flk.errors import CallError, CallTimeout, RunAborted, SiteLost
from flk.spi.executor import Executor

__all__ = ["Fault", "LocalDispatcher"]


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


class LocalDispatcher(Dispatcher):
    """`participants` maps names, `server` among them, to their code.

    executor: how sites of one call work side by side. copy: makes a value the receiver's own; None
    passes references. faults: asked at each call of a site with (site, function, how many such
    calls came before).
    """

    def __init__(
        self,
        run: RunScope,
        participants: Mapping[str, Participant],
        executor: Callable[[], Executor],
        *,
        copy: Callable[[Any], Any] | None = trees.copy,
        faults: Callable[[str, str, int], Fault | None] | None = None,
    ) -> None:
        self.run = run
        self.participants = dict(participants)
        self.copy = copy
        self.clock = 0.0
        """Virtual seconds since the run began."""
        self._faults = faults
        self._make_executor = executor
        self._executor = executor()
        self._executor.open(run.world)
        self._turn = threading.Lock()
        self._heap: list[_Batch] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._busy: dict[str, float] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._under_way: set[Call] = set()
        self._running: set[Any] = set()
        self._sites = tuple(name for name in self.participants if name != "server")
        run.dispatcher = self

    def sites(self) -> tuple[str, ...]:
        return self._sites

    def start(self, call: Call) -> None:
        if call.option.timeout is not None:
            call.close_at = self.clock + call.option.timeout
        batches = self._batches(call)
        if call.nested:
            for batch in batches:
                self._at_once(batch)
            return
        with self._lock:
            for batch in batches:
                heapq.heappush(self._heap, batch)

    def drive(self, call: Call, enough: Callable[[], bool]) -> None:
        world = self.run.world
        while not (call.closed or enough()):
            batch = self._next(call)
            if batch is not None and not batch.on_loop:
                self._work(batch, enough)
            elif not call.closed:
                world.enter(self._changed(call) if batch is None else self._on_loop(batch))

    async def drive_async(self, call: Call, enough: Callable[[], bool]) -> None:
        while not (call.closed or enough()):
            batch = self._next(call)
            if batch is not None and not batch.on_loop:
                await self.run.world.run(self._work, batch, enough)
            elif not call.closed:
                await (self._changed(call) if batch is None else self._on_loop(batch))

    def drain(self) -> None:
        """Do the work that is due and that nobody asked for: calls that were sent and forgotten."""
        while self._heap and self._heap[0].at <= self.clock and not self.run.aborted:
            call = self._heap[0].call

            def gone(call: Call = call) -> bool:
                return not any(batch.call is call for batch in self._heap)

            self.drive(call, gone)
            with self._lock:
                self._heap = [b for b in self._heap if b.call is not call or b.at > self.clock]
                heapq.heapify(self._heap)

    def everywhere(self, phase: str, names: Iterable[str]) -> dict[str, CallError]:
        """Run the `init` or `final` functions of the named participants; the errors of those that
        failed."""
        targets = tuple(n for n in names if getattr(self.participants[n].app, phase + "s"))
        call = Call(
            self.run,
            next(self.run.numbers),
            "server",
            None,
            targets,
            phase,
            (),
            {},
            CallOption(optional=True),
        )
        tasks = [
            _Task(
                self, call, index, self.participants[name], Export(_Phase(self, name, phase), False)
            )
            for index, name in enumerate(targets)
        ]
        call.must_run = phase == "final"
        if tasks:
            self._work(_Batch(self.clock, next(self._order), call, tasks), _never)
        return call.failures

    def wake(self) -> None:
        with self._lock:
            under_way = list(self._under_way)
        for call in under_way:
            call.cancel(self.run.aborted)

    def close(self) -> None:
        """End the executor. Work that was not done stays undone."""
        self._executor.close()

    # what to do next ------------------------------------------------------------------------------

    def _batches(self, call: Call) -> list[_Batch]:
        plain: list[_Task] = []
        other: list[_Batch] = []
        for index, name in enumerate(call.targets):
            participant = self.participants.get(name)
            try:
                if participant is None:
                    raise SiteLost(f"there is no {name!r} here", site=name, may_have_run=False)
                export = participant.app.lookup(call.function, call.option.target, name)
            except CallError as error:
                call.fail(index, error)
                continue
            task = _Task(self, call, index, participant, export)
            if self._faults is not None:
                other.append(self._batch_of_one(task))
            elif export.is_async:
                other.append(_Batch(self.clock, next(self._order), call, [task]))
            else:
                plain.append(task)
        if plain:
            other.append(_Batch(self.clock, next(self._order), call, plain))
        return other

    def _batch_of_one(self, task: _Task) -> _Batch:
        """Under injected faults each answer has an instant of its own; a site works on its calls in
        order."""
        with self._lock:
            key = (task.site, task.function)
            before = self._counts.get(key, 0)
            self._counts[key] = before + 1
            task.fault = self._faults(*key, before) if self._faults is not None else None
            at = max(
                self.clock + (task.fault.delay if task.fault else 0.0),
                self._busy.get(task.site, 0.0),
            )
            self._busy[task.site] = at
            return _Batch(at, next(self._order), task.parent, [task])

    def _next(self, call: Call) -> _Batch | None:
        """The batch that is due next, unless the call ends before it; None if only others can bring
        the call on."""
        if self.run.aborted:
            call.cancel(self.run.aborted)
            raise RunAborted(self.run.aborted)
        with self._lock:
            over = (
                call.close_at is not None and bool(self._heap) and self._heap[0].at > call.close_at
            )
            if not over:
                if not self._heap:
                    return None
                batch = heapq.heappop(self._heap)
                self.clock = max(self.clock, batch.at)
                return batch
            assert call.close_at is not None
            self.clock = max(self.clock, call.close_at)
        call.expire()
        return None

    # doing it -------------------------------------------------------------------------------------

    def _work(self, batch: _Batch, enough: Callable[[], bool]) -> None:
        executor, turn = self._executor, self._turn
        with turn:
            executor.run(batch.feed(enough), self._done, batch.call.option.parallel)
        if batch.tasks and not batch.call.cancelled:
            with self._lock:
                heapq.heappush(self._heap, batch)

    def _at_once(self, batch: _Batch) -> None:
        """A call made by a site's code: never through the executor, whose workers may all be
        waiting for it."""
        from flk.calls.results import in_coroutine

        if batch.on_loop:
            self.run.world.spawn(self._on_loop(batch), f"call {batch.call.id}")
        elif in_coroutine():
            self.run.world.spawn(
                self.run.world.run(self._one_by_one, batch), f"call {batch.call.id}"
            )
        else:
            self._one_by_one(batch)

    def _one_by_one(self, batch: _Batch) -> None:
        for task in batch.feed(_never):
            try:
                value = task.call()
            except BaseException as error:
                self._done(task, None, error)
            else:
                self._done(task, value, None)

    async def _on_loop(self, batch: _Batch) -> None:
        call = batch.call
        with self._lock:
            self._under_way.add(call)
        call.closing.append(lambda: self._under_way.discard(call))
        if batch.is_async:
            self._launch(batch)
        else:
            await self._watched(batch)

    def _launch(self, batch: _Batch) -> None:
        """Coroutine functions of one call run side by side, whatever the executor."""
        import asyncio

        loop = asyncio.get_running_loop()
        parallel = batch.call.option.parallel
        gate = asyncio.Semaphore(parallel) if parallel else None
        for task in batch.feed(_never):
            running = loop.create_task(self._run_async(task, gate))
            task.parent.closing.append(partial(_quietly, loop, running.cancel))
            self._running.add(running)
            running.add_done_callback(self._running.discard)

    async def _run_async(self, task: _Task, gate: Any) -> None:
        import asyncio

        timeout = task.parent.option.timeout
        try:
            if gate is not None:
                await gate.acquire()
            value = await asyncio.wait_for(task.call_async(), timeout)
        except TimeoutError as error:
            overdue = timeout is not None
            self._done(task, None, task.parent.overdue(task.index) if overdue else error)
        except BaseException as error:
            self._done(task, None, error)
        else:
            self._done(task, value, None)
        finally:
            if gate is not None:
                gate.release()

    async def _watched(self, batch: _Batch) -> None:
        """Synchronous functions under a deadline: whoever exceeds it is given up together with its
        thread."""
        import asyncio

        call, world, loop = batch.call, self.run.world, asyncio.get_running_loop()
        timeout = math.inf if call.option.timeout is None else call.option.timeout
        defects: list[BaseException] = []
        while batch.tasks and not call.closed:
            poke = asyncio.Event()

            def work(poke: asyncio.Event = poke) -> None:
                try:
                    (self._one_by_one(batch) if call.nested else self._work(batch, _never))
                except BaseException as error:
                    defects.append(error)
                finally:
                    _quietly(loop, poke.set)

            call.closing.append(partial(_quietly, loop, poke.set))
            world.thread(work, f"flk-watched-{call.function}")
            while not poke.is_set():
                first = min((task.started for task in batch.running), default=world.now())
                wait = None if timeout == math.inf else max(0.0, first + timeout - world.now())
                try:
                    await asyncio.wait_for(poke.wait(), wait)
                except TimeoutError:
                    overdue = [t for t in list(batch.running) if world.now() - t.started >= timeout]
                    if overdue:
                        batch.generation += 1
                        batch.running.clear()
                        self._new_executor()
                        for task in overdue:
                            self._done(task, None, call.overdue(task.index))
                        break
            if defects:
                raise defects[0]

    def _new_executor(self) -> None:
        self._executor, self._turn = self._make_executor(), threading.Lock()
        self._executor.open(self.run.world)

    async def _changed(self, call: Call) -> None:
        """Until the next outcome of a call that somebody else works on."""
        import asyncio

        loop, event = asyncio.get_running_loop(), asyncio.Event()
        if call.wait_for_change(partial(_quietly, loop, event.set)):
            await event.wait()

    # what came of it ------------------------------------------------------------------------------

    def _done(self, task: Any, value: Any, error: BaseException | None) -> None:
        call = task.parent
        if error is None and self.copy is not None and not call.hands_over(task.index):
            try:
                value = self.copy(value)
            except Exception as cannot:
                error = cannot
        if error is None:
            call.succeed(task.index, value)
            if task.fault is not None and task.fault.repeat:
                call.succeed(task.index, value)
        else:
            self._failed(task, error)
        if call.option.grace is not None and call.quorum_reached and not call.closed:
            self._begin_grace(call)

    def _failed(self, task: _Task, error: BaseException) -> None:
        call = task.parent
        known = isinstance(error, SiteLost | CallTimeout) and error.site == task.site
        if known and task.attempt < call.option.retries and not call.settled(task.index):
            task.attempt += 1
            batch = self._batch_of_one(task)
            if call.nested:
                self._at_once(batch)
            else:
                with self._lock:
                    heapq.heappush(self._heap, batch)
            return
        call.fail(task.index, error if known else _as_call_error(task, error))  # type: ignore[arg-type]

    def _begin_grace(self, call: Call) -> None:
        assert call.option.grace is not None
        end = self.clock + call.option.grace
        if call.close_at is None or end < call.close_at:
            call.close_at = end
            if call in self._under_way:
                world = self.run.world
                timer = world.call_at(world.now() + call.option.grace, call.expire)
                call.closing.append(timer.cancel)


class _Phase:
    """All `init` or `final` functions of a participant and its children, one after the other."""

    def __init__(self, dispatcher: LocalDispatcher, site: str, phase: str) -> None:
        self._dispatcher, self._site, self._phase = dispatcher, site, phase

    def __call__(self) -> None:
        app = self._dispatcher.participants[self._site].app
        for part in (app, *app.children.values()):
            for function in getattr(part, self._phase + "s").values():
                outcome = function()
                if inspect.iscoroutine(outcome):
                    self._dispatcher.run.world.enter(outcome)


class _Batch:
    """Tasks of one call whose answers are due at the same instant."""

    __slots__ = ("at", "call", "generation", "is_async", "on_loop", "order", "running", "tasks")

    def __init__(self, at: float, order: int, call: Call, tasks: list[_Task]) -> None:
        self.at, self.order, self.call = at, order, call
        self.tasks = deque(tasks)
        self.is_async = tasks[0].is_async
        self.on_loop = self.is_async or call.option.timeout is not None
        self.running: set[_Task] = set()
        self.generation = 0
        if self.on_loop:
            for task in tasks:
                task.running = self.running

    def __lt__(self, other: _Batch) -> bool:
        return (self.at, self.order) < (other.at, other.order)

    def feed(self, enough: Callable[[], bool]) -> Iterator[_Task]:
        """The tasks one by one, until the caller has enough, the run is aborted or the batch is
        given to another."""
        tasks, call, run, mine = self.tasks, self.call, self.call.run, self.generation
        while (
            tasks
            and not (call.cancelled or (run.aborted and not call.must_run) or enough())
            and mine == self.generation
        ):
            yield tasks.popleft()


class _Task:
    """One call of one site's function; see flk.spi.executor.SiteTask."""

    __slots__ = (
        "_dispatcher", "attempt", "fault", "function", "index", "is_async", "parent",
        "participant", "running", "site", "started", "target",
    )  # fmt: skip

    def __init__(
        self,
        dispatcher: LocalDispatcher,
        parent: Call,
        index: int,
        participant: Participant,
        export: Export,
    ) -> None:
        self._dispatcher = dispatcher
        self.parent = parent
        self.index = index
        self.participant = participant
        self.site = participant.name
        self.function = parent.function
        self.target, self.is_async = export
        self.attempt = 0
        self.fault: Fault | None = None
        self.running: set[_Task] | None = None
        self.started = 0.0

    @property
    def args(self) -> tuple[Any, ...]:
        return self.parent.args

    @property
    def kwargs(self) -> dict[str, Any]:
        return self.parent.kwargs

    def call(self) -> Any:
        if self.running is None:
            return self._call()
        self.started = self._dispatcher.run.world.now()
        self.running.add(self)
        try:
            return self._call()
        finally:
            self.running.discard(self)

    def _call(self) -> Any:
        memory = self._memory_key()
        if memory is not None and memory in self.participant.answers:
            return self._answer(self.participant.answers[memory])
        context = self._context()
        self._before()
        args, kwargs = self._arguments()
        token = _current.set(context)
        try:
            value = self.target(*args, **kwargs)
        finally:
            _current.reset(token)
        if type(value) is GeneratorType or type(value) is AsyncGeneratorType:
            return _stream(self._dispatcher, self, value, context)
        if memory is not None:
            self.participant.remember(memory, value)
        return self._answer(value)

    async def call_async(self) -> Any:
        memory = self._memory_key()
        if memory is not None and memory in self.participant.answers:
            return self._answer(self.participant.answers[memory])
        self._before()
        args, kwargs = self._arguments()
        with entered(self._context()):
            value = await self.target(*args, **kwargs)
        if memory is not None:
            self.participant.remember(memory, value)
        return self._answer(value)

    def _context(self) -> Context:
        parent = self.parent
        return Context(parent.run, self.participant, parent.caller, parent.round, parent)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        copy, parent = self._dispatcher.copy, self.parent
        if copy is None:
            return parent.args, parent.kwargs
        return (copy(parent.args) if parent.args else ()), (
            copy(parent.kwargs) if parent.kwargs else {}
        )

    def _memory_key(self) -> object | None:
        option = self.parent.option
        if option.key is not None:
            return (self.function, option.target, option.key)
        return (self.parent.id, self.index) if option.retries else None

    def _before(self) -> None:
        if self.participant.broken is not None:
            raise SiteLost(
                f"{self.site} could not start: {self.participant.broken}",
                site=self.site,
                may_have_run=False,
            )
        if self.fault is not None:
            if self.fault.restart:
                self._restart()
            if self.fault.lost or self.fault.restart:
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
            participant.app = participant.app.for_site()
            participant.answers.clear()
            with entered(self._context()):
                _Phase(self._dispatcher, self.site, "init")()


def _stream(dispatcher: LocalDispatcher, task: _Task, generator: Any, context: Context) -> Stream:
    world = dispatcher.run.world
    asynchronous = isinstance(generator, AsyncGeneratorType)

    def own(item: Any) -> Any:
        return item if dispatcher.copy is None or item is MISSING else dispatcher.copy(item)

    def step() -> Any:
        try:
            with entered(context):
                return own(next(generator, MISSING))
        except Exception as error:
            raise _as_call_error(task, error) from error

    async def step_async() -> Any:
        if not asynchronous:
            return await world.run(step)
        try:
            with entered(context):
                return own(await anext(generator, MISSING))
        except Exception as error:
            raise _as_call_error(task, error) from error

    def step_sync() -> Any:
        return world.enter(step_async()) if asynchronous else step()

    def close() -> None:
        if asynchronous:
            world.enter(generator.aclose())
        else:
            generator.close()

    return Stream(step_sync, step_async, close)


def _as_call_error(task: _Task, error: BaseException) -> CallError:
    text = "".join(traceback.format_exception(error))
    wrapped = CallError(
        f"{task.site}: {task.function}() raised {type(error).__name__}: {error}".rstrip(": "),
        site=task.site,
        function=task.function,
        kind=type(error).__name__,
        remote_traceback=text,
    )
    wrapped.__cause__ = error.with_traceback(None)
    return wrapped


def _quietly(loop: Any, function: Callable[[], Any]) -> None:
    """Call on the loop, from any thread; a loop that is closed has nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


def _never() -> bool:
    return False
