"""Direct calls to participants in this process: the dispatcher of the simulator and of tests.

Time is virtual: a call's answers arrive at the instants that injected delays say, and in no time
without them; nothing sleeps. One heap of batches orders all calls, so a run under one seed takes
the same course again. A call that is open is worked on when somebody asks for its results, at the
latest before the next call or at the end of the run. Real time counts only for a site that hangs: a
`timeout` or `grace` is then measured from the start of its work.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from flk.calls import trees
from flk.calls.call import Call, Spilled
from flk.calls.context import Participant, RunScope
from flk.calls.dispatch import Dispatcher, never
from flk.calls.options import CallOption
from flk.calls.results import Stream, in_coroutine
from flk.calls.tasks import Batch, Fault, Phase, Seat, Task, as_call_error
from flk.errors import CallError, CallTimeout, Cancelled, RunAborted, SiteLost
from flk.spi.executor import Executor

__all__ = ["Fault", "LocalDispatcher"]

_KNOWN = 16
_Whom = tuple[tuple[str, ...], str, str | None]
_Kinds = tuple[list[Seat], list[Seat]]


class LocalDispatcher(Dispatcher):
    """`participants` maps names, `server` among them, to their code.

    executor: how sites of one call work side by side; opened here.
    copy: makes a value the receiver's own; None passes references.
    faults: asked at each call of a site with (site, function, how many such calls came before).
    spill: puts an answer that waits for its turn in a sum outside of memory, and gives what loads
        it; None keeps it.
    """

    def __init__(
        self,
        run: RunScope,
        participants: Mapping[str, Participant],
        executor: Executor,
        *,
        copy: Callable[[Any], Any] | None = trees.copy,
        faults: Callable[[str, str, int], Fault | None] | None = None,
        spill: Callable[[Any], Callable[[], Any] | None] | None = None,
    ) -> None:
        self.run = run
        self.participants = dict(participants)
        self.copy = copy
        self.clock = 0.0
        """Virtual seconds since the run began."""
        self._faults = faults
        self._spill = spill
        self._executor = executor
        self._executor.open(run.world)
        self._heap: list[Batch] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._busy: dict[str, float] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._seats: dict[_Whom, _Kinds] = {}
        self._under_way: dict[Call, _Flight] = {}
        self._tasks: set[Any] = set()
        self._sites = tuple(name for name in self.participants if name != "server")
        run.dispatcher = self

    def sites(self) -> tuple[str, ...]:
        return self._sites

    def start(self, call: Call) -> None:
        patience = call.option.patience
        if patience is not None:
            call.close_at = self.clock + patience
        batches = self._batches(call)
        if call.option.grace is not None:
            of_coroutines = any(batch.is_async for batch in batches)
            call.at_quorum = partial(self._begin_grace, call, of_coroutines)
        if batches and call.detached:
            self._freeze(call)
        for batch in batches:
            if call.nested:
                self._at_once(batch)
            else:
                self._push(batch)

    def drive(self, call: Call, enough: Callable[[], bool]) -> None:
        world = self.run.world
        while not (call.closed or enough()):
            batch = self._next(call)
            if batch is None:
                if not call.closed:
                    world.enter(self._changed(call, enough))
            elif batch.is_async or batch.watched:
                world.enter(self._on_loop(batch, enough))
            else:
                self._work(batch, enough)

    async def drive_async(self, call: Call, enough: Callable[[], bool]) -> None:
        while not (call.closed or enough()):
            batch = self._next(call)
            if batch is None:
                if not call.closed:
                    await self._changed(call, enough)
            elif batch.is_async or batch.watched:
                await self._on_loop(batch, enough)
            else:
                await self.run.world.run(self._work, batch, enough)

    def drain(self) -> None:
        world = self.run.world
        while not self.run.aborted:
            with self._lock:
                batch = heapq.heappop(self._heap) if self._heap else None
            if batch is None:
                open_call = next(iter(self._under_way), None)
                if open_call is None:
                    return
                self.drive(open_call, never)
            elif batch.call.closed and batch.at > self.clock:
                continue  # nobody would ever hear of it
            elif batch.is_async or batch.watched:
                world.enter(self._on_loop(batch, never))
            else:
                self._work(batch, never)

    def everywhere(self, phase: str, names: Iterable[str]) -> dict[str, CallError]:
        targets = tuple(n for n in names if self._has(phase, n))
        option = CallOption(optional=True)
        number = next(self.run.numbers)
        call = Call(self.run, number, "", None, targets, phase, (), {}, option)
        call.must_run = phase == "final"
        seats: list[Seat] = [
            (index, self.participants[name], Phase(self, name, phase))
            for index, name in enumerate(targets)
        ]
        if seats:
            self._work(Batch(self, self.clock, next(self._order), call, seats), never)
        if phase == "init":
            for name, error in call.failures.items():
                self.participants[name].broken = error
        return call.failures_in_order()

    def wake(self) -> None:
        with self._lock:
            under_way = list(self._under_way)
        for call in under_way:
            call.cancel(self.run.aborted)

    def close(self) -> None:
        """End the executor. Work that was not done stays undone."""
        self._executor.close()

    # what to do next ------------------------------------------------------------------------------

    def _has(self, phase: str, name: str) -> bool:
        participant = self.participants[name]
        parts = (participant.app, *participant.app.children.values())
        return participant.broken is None and any(getattr(part, phase + "s") for part in parts)

    def _batches(self, call: Call) -> list[Batch]:
        whom = (call.targets, call.function, call.option.target)
        kinds = self._seats.get(whom) or self._find_seats(call, whom)
        if self._faults is not None:
            both = sorted((seat[0], kind, seat) for kind in (0, 1) for seat in kinds[kind])
            return [self._batch_of_one(call, seat, kind) for _, kind, seat in both]
        now, order = self.clock, self._order
        found = [(kinds[kind], bool(kind)) for kind in (1, 0) if kinds[kind]]
        return [Batch(self, now, next(order), call, *one) for one in found]

    def _find_seats(self, call: Call, whom: _Whom) -> _Kinds:
        """Seats of functions and of coroutine functions. The same call finds them at once the next
        time, unless a site may get new code by an injected restart."""
        kinds: _Kinds = ([], [])
        for index, name in enumerate(call.targets):
            participant = self.participants.get(name)
            try:
                if participant is None:
                    raise SiteLost(f"there is no {name!r} here", site=name, may_have_run=False)
                target, is_async = participant.app.lookup(call.function, call.option.target, name)
            except CallError as error:
                call.fail(index, error)
            else:
                kinds[is_async].append((index, participant, target))
        if self._faults is None and not call.failures:
            if len(self._seats) == _KNOWN:
                self._seats.clear()
            self._seats[whom] = kinds
        return kinds

    def _batch_of_one(self, call: Call, seat: Seat, is_async: int, attempt: int = 0) -> Batch:
        """Under injected faults each answer has an instant of its own; a site works on its calls in
        order."""
        site = call.targets[seat[0]]
        key = (site, call.function)
        with self._lock:
            before = self._counts.get(key, 0)
            self._counts[key] = before + 1
        fault = self._faults(*key, before) if self._faults is not None else None
        with self._lock:
            delay = fault.delay if fault else 0.0
            at = self._busy[site] = max(self.clock + delay, self._busy.get(site, 0.0))
            return Batch(self, at, next(self._order), call, [seat], bool(is_async), fault, attempt)

    def _push(self, batch: Batch) -> None:
        with self._lock:
            heapq.heappush(self._heap, batch)
        batch.call.stir()

    def _next(self, call: Call) -> Batch | None:
        """The batch that is due next, unless the call ends before it; None if only others can bring
        the call on."""
        if call.nested:
            return None
        if self.run.aborted:
            call.cancel(self.run.aborted)
            raise RunAborted(self.run.aborted)
        with self._lock:
            if not self._ready(call):
                return None
            head = self._heap[0]
            over = call.close_at is not None and head.at > call.close_at
            if over:
                self.clock = max(self.clock, call.close_at or 0.0)
            else:
                heapq.heappop(self._heap)
                self.clock = max(self.clock, head.at)
        late = call if over else head.call
        if late.close_at is not None and head.at > late.close_at:
            self._freeze(late)
            late.expire()
        return None if over else head

    def _ready(self, call: Call) -> bool:
        """Whether there is a batch to work on now: time stands still while the call's own work is
        under way."""
        if not self._heap:
            return False
        flight = self._under_way.get(call)
        return self._heap[0].at <= self.clock or flight is None or not flight.active

    def _freeze(self, call: Call) -> None:
        """The caller goes on before the work is done: what it sent must not change any more."""
        if self.copy is not None and not call.frozen:
            call.args, call.kwargs = self.copy(call.args), self.copy(call.kwargs)
            call.frozen = True

    # doing it -------------------------------------------------------------------------------------

    def _work(self, batch: Batch, enough: Callable[[], bool]) -> None:
        mine = batch.generation
        self._executor.run(batch.feed(enough), self._done, batch.call.option.parallel)
        if batch.seats and mine == batch.generation and not batch.call.cancelled:
            self._push(batch)

    def _at_once(self, batch: Batch) -> None:
        """A call made by a site's code: never through the executor, whose workers may all be
        waiting for it."""
        call, world = batch.call, self.run.world
        if call.close_at is not None and batch.at > call.close_at:
            call.expire()
        if batch.is_async or batch.watched:
            self._enlist(call)
            world.spawn(self._on_loop(batch, never), f"call {call.id}")
        elif in_coroutine():
            self._enlist(call)
            world.spawn(world.run(self._one_by_one, batch, never), f"call {call.id}")
        else:
            self._one_by_one(batch, never)

    def _one_by_one(self, batch: Batch, enough: Callable[[], bool]) -> None:
        for task in batch.feed(enough):
            try:
                value = task.call()
            except BaseException as error:
                self._done(task, None, error)
            else:
                self._done(task, value, None)

    def _enlist(self, call: Call) -> _Flight:
        with self._lock:
            flight = self._under_way.get(call)
            if flight is None:
                flight = self._under_way[call] = _Flight(call.option.parallel)
        if flight.new:
            flight.new = False
            call.at_close(lambda: self._under_way.pop(call, None))
        if self.run.aborted:
            call.cancel(self.run.aborted)
        return flight

    async def _on_loop(self, batch: Batch, enough: Callable[[], bool]) -> None:
        """Coroutine functions are left running; synchronous ones under a deadline are waited for,
        until the caller has enough."""
        import asyncio

        flight = self._enlist(batch.call)
        if batch.is_async:
            self._launch(batch, flight)
            return
        watcher = self._task(self._watch(batch, enough))
        while not (watcher.done() or enough()):
            event = asyncio.Event()
            watcher.add_done_callback(lambda _, event=event: event.set())
            if enough is never or not batch.call.wait_for_change(_setter(event)):
                await asyncio.wait([watcher])
            elif not (watcher.done() or enough()):
                await event.wait()
        if watcher.done():
            watcher.result()

    def _task(self, coroutine: Any) -> Any:
        import asyncio

        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _launch(self, batch: Batch, flight: _Flight) -> None:
        """Coroutine functions of one call run side by side, whatever the executor."""
        import asyncio

        started = []
        for task in batch.feed(never):
            flight.active += 1
            started.append(self._task(self._run_async(task, flight)))

        def stop() -> None:
            for running in started:
                running.cancel()

        batch.call.at_close(partial(_quietly, asyncio.get_running_loop(), stop))

    async def _run_async(self, task: Task, flight: _Flight) -> None:
        import asyncio

        call, limit = task.batch.call, None
        try:
            async with flight.gate():
                async with asyncio.timeout(call.option.patience) as limit:
                    value = await task.call_async()
        except BaseException as error:
            overdue = isinstance(error, TimeoutError) and limit is not None and limit.expired()
            self._done(task, None, call.too_late(task.index) if overdue else error)
        else:
            self._done(task, value, None)
        finally:
            flight.active -= 1

    async def _watch(self, batch: Batch, enough: Callable[[], bool]) -> None:
        """Synchronous functions under a deadline: one that exceeds it is given up together with its
        thread, and a new one goes on with the rest."""
        import asyncio

        call, world, option = batch.call, self.run.world, batch.call.option
        poke, loop = asyncio.Event(), asyncio.get_running_loop()
        defects: list[BaseException] = []
        at_work = False

        def work(mine: int) -> None:
            nonlocal at_work
            try:
                (self._one_by_one if call.nested else self._work)(batch, enough)
            except BaseException as error:
                defects.append(error)
            finally:
                at_work = at_work and mine != batch.generation
                _quietly(loop, poke.set)

        def start() -> None:
            nonlocal at_work
            at_work = True
            world.thread(partial(work, batch.generation), f"flk-watched-{call.function}")

        call.at_close(_setter(poke))
        start()
        while not call.closed:
            if batch.generation or option.grace is not None:
                call.wait_for_change(_setter(poke))
            now = world.now()
            limits = map(batch.limit, list(batch.running.values()))
            due = min(limits, default=now + batch.shortest)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(poke.wait(), None if due == math.inf else max(0, due - now))
            poke.clear()
            if defects:
                raise defects[0]
            now = world.now()
            running = list(batch.running.items())
            overdue = [task for task, started in running if batch.limit(started) <= now]
            if overdue:
                for task in overdue:
                    batch.running.pop(task, None)
                batch.generation += 1
                at_work = False
                if batch.seats:
                    start()
                for task in overdue:
                    self._done(task, None, call.too_late(task.index))
            elif not at_work and not batch.running:
                return

    async def _changed(self, call: Call, enough: Callable[[], bool]) -> None:
        """Until the next outcome of a call that somebody else works on."""
        import asyncio

        event = asyncio.Event()
        if call.wait_for_change(_setter(event)) and not enough():
            with self._lock:
                ready = not call.nested and self._ready(call)
            if not ready:
                await event.wait()

    # what came of it ------------------------------------------------------------------------------

    def _done(self, task: Any, value: Any, error: BaseException | None) -> None:
        batch, call, index = task.batch, task.batch.call, task.index
        if error is None and self.copy is not None and not call.hands_over(index):
            try:
                value = self._kept(value, call.holds_back(index))
            except Exception as cannot:
                error = cannot
        if error is not None:
            self._failed(task, error)
        else:
            call.succeed(index, value)
            if batch.fault is not None and batch.fault.repeat:
                call.succeed(index, value)

    def _kept(self, value: Any, held_back: bool) -> Any:
        """An answer that nobody takes at once: a copy, or outside of memory where many may wait."""
        if type(value) is Stream or self.copy is None:
            return value
        load = self._spill(value) if held_back and self._spill is not None else None
        return self.copy(value) if load is None else Spilled(load)

    def _failed(self, task: Task, error: BaseException) -> None:
        batch, call, index = task.batch, task.batch.call, task.index
        if not isinstance(error, SiteLost | CallTimeout | Cancelled) or error.site != task.site:
            call.fail(index, as_call_error(task, error))
        elif (
            isinstance(error, SiteLost)
            and batch.attempt < call.option.retries
            and not call.settled(index)
        ):
            again = self._batch_of_one(call, task.seat, batch.is_async, batch.attempt + 1)
            (self._at_once if call.nested else self._push)(again)
        else:
            call.fail(index, error)

    def _begin_grace(self, call: Call, is_async: bool) -> None:
        world, grace = self.run.world, call.option.grace or 0.0
        call.quorum_at = world.now()
        end = self.clock + grace
        call.close_at = end if call.close_at is None else min(end, call.close_at)
        if is_async:
            call.at_close(world.call_at(call.quorum_at + grace, call.expire).cancel)


class _Flight:
    """The work on one call that goes on by itself. `active` coroutine functions of sites run."""

    def __init__(self, parallel: int) -> None:
        self.new = True
        self.active = 0
        self._parallel = parallel
        self._gate: Any = None

    def gate(self) -> Any:
        """`async with` it to work: at most `parallel` at a time."""
        import asyncio

        if not self._parallel:
            return contextlib.nullcontext()
        if self._gate is None:
            self._gate = asyncio.Semaphore(self._parallel)
        return self._gate


def _setter(event: Any) -> Callable[[], None]:
    """Sets an event of the running loop, from any thread."""
    import asyncio

    return partial(_quietly, asyncio.get_running_loop(), event.set)


def _quietly(loop: Any, function: Callable[[], Any]) -> None:
    """Call on the loop, from any thread; a loop that is closed has nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function)
