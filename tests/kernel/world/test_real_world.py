"""The real world: this machine, asyncio and threads."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import flk.world
import pytest
from flk.world import RealWorld, World

from .worlds import LATE, SOON, WorldSuite


class TestRealWorld(WorldSuite):
    def make(self) -> World:
        return RealWorld()


@pytest.fixture
def world() -> Iterator[RealWorld]:
    world = RealWorld()
    yield world
    world.close()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LATE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def test_nothing_starts_before_it_is_needed() -> None:
    before = threading.active_count()
    RealWorld()
    assert threading.active_count() == before


def test_asyncio_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, flk.world; flk.world.RealWorld(); sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_the_pool_never_grows_beyond_its_limit() -> None:
    world = RealWorld(max_threads=3)
    threads: set[str] = set()

    async def main() -> None:
        await asyncio.gather(
            *(world.run(lambda: threads.add(threading.current_thread().name)) for _ in range(50))
        )

    world.enter(main())
    world.close()
    assert len(threads) <= 3


def test_calls_within_calls_do_not_exhaust_the_pool() -> None:
    world = RealWorld(max_threads=1)

    def down(depth: int) -> int:
        return world.enter(world.run(down, depth - 1)) + 1 if depth else 0

    assert world.spawn(world.run(down, 20), "down").result(LATE) == 20
    world.close()


def test_a_pool_that_lent_places_shrinks_again() -> None:
    world = RealWorld(max_threads=1)
    before = threading.active_count()

    def down(depth: int) -> int:
        return world.enter(world.run(down, depth - 1)) + 1 if depth else 0

    world.enter(world.run(down, 5))
    world.enter(world.run(int))
    wait_until(lambda: threading.active_count() <= before + 2)
    world.close()


def test_close_drops_calls_that_wait_for_a_thread() -> None:
    world = RealWorld(max_threads=1)
    go, started = threading.Event(), threading.Event()
    ran: list[str] = []

    def block() -> None:
        started.set()
        go.wait(LATE)

    first = world.spawn(world.run(block), "first")
    assert started.wait(LATE)
    second = world.spawn(world.run(lambda: ran.append("second")), "second")
    world.enter(asyncio.sleep(SOON))
    world.close()
    go.set()
    for future in (first, second):
        assert future.cancelled()
    assert ran == []


def test_a_thread_that_cannot_start_is_an_error_and_no_lost_call(
    world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enter(asyncio.sleep(0))

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="new thread"):
        patch.setattr(threading.Thread, "start", refuse)
        world.enter(world.run(int))
    assert world.enter(world.run(int)) == 0


def test_a_task_that_refuses_to_end_does_not_hold_up_close(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(flk.world, "GRACE", 0.05)
    world = RealWorld()
    release: list[Any] = []

    async def stubborn() -> None:
        event = asyncio.Event()
        release.append(event)
        while True:
            try:
                await event.wait()
                return
            except asyncio.CancelledError:
                continue

    future = world.spawn(stubborn(), "stubborn")
    world.enter(asyncio.sleep(SOON))
    caplog.set_level(logging.CRITICAL, logger="asyncio")
    world.close()
    with pytest.raises(CancelledError):
        future.result(LATE)


def test_the_world_may_be_closed_on_its_loop() -> None:
    world = RealWorld()
    ended: Future[str] = Future()

    async def work() -> None:
        try:
            world.close()
            await asyncio.sleep(LATE)
        except asyncio.CancelledError:
            ended.set_result("cancelled")
            raise

    world.spawn(work(), "work")
    assert ended.result(LATE) == "cancelled"
    world.close()


def test_the_world_may_be_closed_by_one_of_its_threads(world: RealWorld) -> None:
    with pytest.raises(CancelledError):
        world.enter(world.run(world.close))


def test_two_threads_may_close_at_once() -> None:
    world = RealWorld()
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(LATE)
        finally:
            await asyncio.sleep(SOON)
            ended.append("ended")

    world.spawn(work(), "work")
    world.enter(asyncio.sleep(SOON))
    seen: list[list[str]] = []

    def close() -> None:
        world.close()
        seen.append(list(ended))

    threads = [threading.Thread(target=close, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LATE)
    assert seen == [["ended"], ["ended"]]


def test_an_interrupt_in_enter_ends_the_coroutine_first(world: RealWorld) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            asyncio.get_running_loop().call_later(
                SOON, signal.pthread_kill, threading.main_thread().ident, signal.SIGINT
            )
            await asyncio.sleep(LATE)
        finally:
            await asyncio.sleep(SOON)
            steps.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        world.enter(work())
    assert steps == ["cleaned up"]
    assert world.enter(asyncio.sleep(0, "on")) == "on"


def test_a_second_interrupt_does_not_wait(world: RealWorld) -> None:
    steps: list[str] = []
    main = threading.main_thread().ident
    assert main is not None

    async def work() -> None:
        loop = asyncio.get_running_loop()
        try:
            loop.call_later(SOON, signal.pthread_kill, main, signal.SIGINT)
            await asyncio.sleep(LATE)
        finally:
            loop.call_later(SOON, signal.pthread_kill, main, signal.SIGINT)
            await asyncio.sleep(0.5)
            steps.append("cleaned up")

    with pytest.raises(KeyboardInterrupt):
        world.enter(work())
    assert steps == []


def test_a_thread_that_hangs_does_not_keep_the_process_alive() -> None:
    code = """
import asyncio, threading
from flk.world import RealWorld
world = RealWorld()
started = threading.Event()
def hang():
    started.set()
    threading.Event().wait()
world.spawn(world.run(hang), "hang")
world.thread(hang, "hang too")
started.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True)
    assert done.returncode == 0, done.stderr
