"""What every world must do: shared by the tests of the real and of the simulated one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import pytest
from flk.world import World

WORD: contextvars.ContextVar[str] = contextvars.ContextVar("WORD", default="nobody")
SOON = 0.01
LATE = 10.0


class WorldSuite(ABC):
    @abstractmethod
    def make(self) -> World: ...

    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = self.make()
        yield world
        world.close()

    # time ---------------------------------------------------------------------------------------

    def test_time_passes_while_somebody_sleeps(self, world: World) -> None:
        now, wall = world.now(), world.wall()
        world.enter(asyncio.sleep(0.02))
        assert world.now() - now >= 0.02 - 1e-6
        assert world.wall() - wall >= 0.02 - 1e-2

    def test_call_at_calls_at_its_time_and_not_before(self, world: World) -> None:
        called: concurrent.futures.Future[float] = concurrent.futures.Future()
        when = world.now() + SOON

        async def wait() -> float:
            world.call_at(when, lambda: called.set_result(world.now()))
            return await asyncio.wrap_future(called)

        assert world.enter(wait()) >= when - 1e-6

    def test_call_at_of_the_past_calls_soon(self, world: World) -> None:
        async def wait() -> str:
            event = asyncio.Event()
            world.call_at(world.now() - 100, event.set)
            await event.wait()
            return "called"

        assert world.enter(wait()) == "called"

    def test_call_at_works_from_any_thread(self, world: World) -> None:
        async def wait() -> str:
            event = asyncio.Event()
            await world.run(world.call_at, world.now() + SOON, event.set)
            await event.wait()
            return "called"

        assert world.enter(wait()) == "called"

    def test_call_at_passes_arguments_and_the_context(self, world: World) -> None:
        async def wait() -> list[Any]:
            seen: list[Any] = []
            event = asyncio.Event()
            WORD.set("caller")
            world.call_at(
                world.now(), lambda *args: (seen.extend((*args, WORD.get())), event.set()), 7
            )
            WORD.set("later")
            await event.wait()
            return seen

        assert world.enter(wait()) == [7, "caller"]

    def test_a_cancelled_timer_never_calls(self, world: World) -> None:
        called: list[int] = []

        async def wait() -> None:
            timer = world.call_at(world.now() + SOON, called.append, 1)
            timer.cancel()
            timer.cancel()
            done = world.call_at(world.now(), called.append, 2)
            await asyncio.sleep(3 * SOON)
            done.cancel()

        world.enter(wait())
        assert called == [2]

    def test_a_timer_may_be_cancelled_after_the_end_of_the_world(self, world: World) -> None:
        timer = world.call_at(world.now() + LATE, list)
        world.enter(asyncio.sleep(0))
        world.close()
        timer.cancel()

    # randomness ---------------------------------------------------------------------------------

    def test_generators_differ_and_secrets_have_their_length(self, world: World) -> None:
        assert world.rng().random() != world.rng().random()
        assert [len(world.secret(n)) for n in (0, 1, 32)] == [0, 1, 32]
        assert world.secret(32) != world.secret(32)

    # coroutines ---------------------------------------------------------------------------------

    def test_enter_returns_the_value(self, world: World) -> None:
        async def value() -> int:
            await asyncio.sleep(0)
            return 7

        assert world.enter(value()) == 7
        assert world.enter(value()) == 7

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), StopAsyncIteration()])
    def test_enter_raises_the_error_and_the_world_goes_on(
        self, world: World, error: BaseException
    ) -> None:
        async def fail() -> None:
            await asyncio.sleep(0)
            raise error

        with pytest.raises(type(error)) as caught:
            world.enter(fail())
        assert caught.value is error
        assert world.enter(asyncio.sleep(0, "on")) == "on"

    def test_enter_on_the_loop_is_refused(self, world: World) -> None:
        async def inner() -> None: ...

        async def outer() -> None:
            world.enter(inner())

        with pytest.raises(RuntimeError, match="await"):
            world.enter(outer())

    def test_enter_works_in_threads_at_any_depth(self, world: World) -> None:
        def down(depth: int) -> int:
            return world.enter(world.run(down, depth - 1)) + 1 if depth else 0

        assert world.enter(world.run(down, 10)) == 10

    def test_a_spawned_coroutine_has_its_name_and_its_future_the_value(self, world: World) -> None:
        async def name() -> str:
            task = asyncio.current_task()
            assert task is not None
            return task.get_name()

        assert world.spawn(name(), "my-name").result(LATE) == "my-name"

    def test_a_spawned_coroutine_may_be_waited_for_in_a_thread(self, world: World) -> None:
        async def main() -> int:
            future = world.spawn(asyncio.sleep(SOON, 7), "sleep")
            return await world.run(future.result, LATE)

        assert world.enter(main()) == 7

    def test_waiting_for_a_future_can_time_out(self, world: World) -> None:
        future = world.spawn(asyncio.sleep(LATE), "sleep")
        with pytest.raises(TimeoutError):
            future.result(SOON)
        with pytest.raises(TimeoutError):
            future.exception(SOON)
        assert not future.done()

    def test_the_error_of_a_spawned_coroutine_is_in_its_future(self, world: World) -> None:
        async def fail() -> None:
            raise KeyError("x")

        assert isinstance(world.spawn(fail(), "fail").exception(LATE), KeyError)

    def test_cancelling_the_future_cancels_the_coroutine(self, world: World) -> None:
        ended: list[str] = []

        async def work(started: asyncio.Event) -> None:
            try:
                started.set()
                await asyncio.sleep(LATE)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        async def main() -> None:
            started = asyncio.Event()
            future = world.spawn(work(started), "work")
            await started.wait()
            assert future.cancel()
            while not ended:
                await asyncio.sleep(0)
            assert future.cancelled()

        world.enter(main())
        assert ended == ["cancelled"]

    def test_a_future_cancelled_at_once_starts_nothing(self, world: World) -> None:
        started: list[int] = []

        async def work() -> None:
            started.append(1)

        async def main() -> None:
            world.spawn(work(), "work").cancel()
            await asyncio.sleep(SOON)

        world.enter(main())
        assert started == []

    def test_a_coroutine_that_cancels_itself_cancels_its_future(self, world: World) -> None:
        async def quit() -> None:
            raise asyncio.CancelledError

        with pytest.raises(concurrent.futures.CancelledError):
            world.spawn(quit(), "quit").result(LATE)

    # the context --------------------------------------------------------------------------------

    def test_the_context_follows_enter_spawn_run_and_thread(self, world: World) -> None:
        async def seen() -> str:
            return WORD.get()

        async def run() -> str:
            return await world.run(WORD.get)

        found: list[str] = []
        token = WORD.set("caller")
        try:
            future = world.spawn(seen(), "seen")
            join = world.thread(lambda: found.append(WORD.get()), "thread")
            WORD.set("later")
            found.append(future.result(LATE))
            assert join(LATE)
            WORD.set("caller")
            found.append(world.enter(seen()))
            found.append(world.enter(run()))
            found.append(world.enter(world.run(world.enter, run())))
        finally:
            WORD.reset(token)
        assert found == ["caller"] * 5

    def test_a_change_of_the_context_stays_where_it_was_made(self, world: World) -> None:
        async def change() -> None:
            WORD.set("changed")
            await world.run(WORD.set, "changed")

        world.enter(change())
        join = world.thread(lambda: WORD.set("changed"), "thread")
        assert join(LATE)
        assert WORD.get() == "nobody"
        assert world.enter(world.run(WORD.get)) == "nobody"

    # synchronous code ---------------------------------------------------------------------------

    def test_run_leaves_the_loop_free(self, world: World) -> None:
        async def main() -> str:
            event = asyncio.Event()

            async def wait() -> str:
                await event.wait()
                return "done"

            running = asyncio.create_task(world.run(world.enter, wait()))
            await asyncio.sleep(SOON)
            event.set()
            return await running

        assert world.enter(main()) == "done"

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
    def test_run_raises_what_the_function_raises(self, world: World, error: BaseException) -> None:
        def fail() -> None:
            raise error

        async def main() -> BaseException | None:
            try:
                await world.run(fail)
            except BaseException as caught:
                return caught
            return None

        assert world.enter(main()) is error
        assert world.enter(world.run(int)) == 0

    def test_run_carries_stop_iteration_as_a_runtime_error(self, world: World) -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            world.enter(world.run(next, iter(())))

    def test_cancelling_run_stops_waiting_and_not_the_code(self, world: World) -> None:
        async def main() -> list[str]:
            done: list[str] = []
            go, ended = asyncio.Event(), asyncio.Event()

            def work() -> None:
                world.enter(go.wait())
                done.append("ran on")
                world.call_at(0, ended.set)

            running = asyncio.create_task(world.run(work))
            await asyncio.sleep(SOON)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            go.set()
            await ended.wait()
            return done

        assert world.enter(main()) == ["ran on"]

    def test_run_keeps_nothing_of_what_it_ran(self, world: World) -> None:
        class Model:
            pass

        async def main() -> None:
            models = [weakref.ref(await world.run(lambda given: given, Model())) for _ in range(3)]
            await world.run(int)
            gc.collect()
            assert [model() for model in models] == [None] * 3

        world.enter(main())

    def test_many_calls_run_and_come_back_to_their_callers(self, world: World) -> None:
        async def main() -> list[int]:
            return await asyncio.gather(*(world.run(abs, -n) for n in range(300)))

        assert world.enter(main()) == list(range(300))

    def test_a_thread_runs_and_join_tells_whether_it_ended(self, world: World) -> None:
        names: list[str] = []
        event: list[asyncio.Event] = []

        async def make() -> None:
            event.append(asyncio.Event())

        world.enter(make())

        def work() -> None:
            names.append(threading.current_thread().name)
            world.enter(event[0].wait())

        join = world.thread(work, "my-thread")
        assert not join(SOON)
        world.call_at(world.now(), event[0].set)
        assert join(LATE)
        assert join(None)
        assert join(0)
        assert names == ["my-thread"]

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_thread_may_leave_by_system_exit(self, world: World) -> None:
        def leave() -> None:
            raise SystemExit(1)

        assert world.thread(leave, "leaving")(LATE)

    def test_the_error_of_a_thread_goes_to_the_excepthook(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[Any] = []
        monkeypatch.setattr(threading, "excepthook", heard.append)

        def fail() -> None:
            raise ValueError("no")

        assert world.thread(fail, "failing")(LATE)
        assert [(h.exc_type, h.thread.name) for h in heard] == [(ValueError, "failing")]

    # the end ------------------------------------------------------------------------------------

    def test_close_may_come_twice_and_before_anything_started(self, world: World) -> None:
        world.close()
        world.close()

    def test_close_cancels_what_runs_and_lets_it_clean_up(self, world: World) -> None:
        steps: list[str] = []

        async def work() -> None:
            try:
                steps.append("started")
                await asyncio.sleep(LATE)
            finally:
                await asyncio.sleep(SOON)
                steps.append("cleaned up")

        future = world.spawn(work(), "work")
        world.enter(asyncio.sleep(SOON))
        world.close()
        assert steps == ["started", "cleaned up"]
        assert future.cancelled()

    def test_after_close_everything_is_refused(self, world: World) -> None:
        async def nothing() -> None: ...

        world.enter(nothing())
        world.close()
        for call in (
            lambda: world.enter(nothing()),
            lambda: world.spawn(nothing(), "late"),
            lambda: world.call_at(0, list),
        ):
            with pytest.raises(RuntimeError, match="closed"):
                call()

    def test_a_thread_that_waits_is_woken_by_close(self, world: World) -> None:
        woken: list[str] = []

        def work() -> None:
            try:
                world.enter(asyncio.sleep(LATE))
            except concurrent.futures.CancelledError:
                woken.append("cancelled")

        join = world.thread(work, "waiting")
        assert not join(SOON)
        world.close()
        assert join(LATE)
        assert woken == ["cancelled"]

    def test_asynchronous_generators_are_closed_at_the_end(self, world: World) -> None:
        closed: list[str] = []
        kept: list[Any] = []

        async def numbers() -> Any:
            try:
                yield 1
                yield 2
            finally:
                closed.append("closed")

        async def main() -> None:
            kept.append(numbers())
            await anext(kept[0])

        world.enter(main())
        world.close()
        assert closed == ["closed"]
