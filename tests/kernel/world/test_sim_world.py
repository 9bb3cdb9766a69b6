"""The simulated world: virtual time, one seed, turns, and errors instead of hanging."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flk
import flk.testing
import pytest
from flk.testing.disk import SimFiles
from flk.testing.world import Deadlock, SimWorld
from flk.world import World

from .worlds import LATE, WorldSuite


class TestSimWorld(WorldSuite):
    def make(self) -> World:
        return SimWorld()


@pytest.fixture
def world() -> Iterator[SimWorld]:
    world = SimWorld()
    yield world
    world.close()


def story(seed: int) -> tuple[str, list[Any]]:
    """Tasks and threads that meet at the same instants; what happened in which order."""
    world = SimWorld(seed)
    events: list[Any] = []

    def user(number: int) -> None:
        for _ in range(3):
            events.append(("thread", number, world.now()))
            world.enter(asyncio.sleep(1))

    async def task(number: int) -> None:
        for _ in range(3):
            events.append(("task", number, world.now()))
            await asyncio.sleep(1)

    async def main() -> None:
        jitter = world.rng()
        jobs = [world.run(user, n) for n in range(5)] + [task(n) for n in range(5)]
        await asyncio.gather(*jobs)
        await asyncio.sleep(jitter.random())
        events.append((world.now(), world.secret(4)))

    join = world.thread(lambda: user(99), "another")
    world.enter(main())
    assert join(None)
    trace = world.trace_hash()
    world.close()
    return trace, events


def test_it_is_exported_where_authors_of_plugins_look() -> None:
    assert flk.testing.SimWorld is SimWorld


def test_the_same_seed_gives_the_same_run() -> None:
    assert story(7) == story(7)


def test_another_seed_gives_another_order() -> None:
    stories = [story(seed) for seed in range(4)]
    assert len({trace for trace, _ in stories}) == 4
    assert len({str(events) for _, events in stories}) == 4


def test_other_random_numbers_of_the_process_change_nothing() -> None:
    first = story(3)
    random.random()
    random.seed(5)
    assert story(3) == first


def test_callbacks_keep_the_order_that_asyncio_promises() -> None:
    for seed in range(5):
        world = SimWorld(seed)
        seen: list[int] = []

        async def main(seen: list[int] = seen) -> None:
            loop = asyncio.get_running_loop()
            for number in range(20):
                loop.call_soon(seen.append, number)
            await asyncio.sleep(1)

        world.enter(main())
        world.close()
        assert seen == list(range(20))


def test_hours_pass_in_no_time(world: SimWorld) -> None:
    async def site() -> None:
        for _ in range(60):
            await asyncio.sleep(10)

    async def main() -> None:
        await asyncio.gather(*(site() for _ in range(50)))
        await asyncio.sleep(30 * 24 * 3600)

    start = time.perf_counter()
    world.enter(main())
    assert time.perf_counter() - start < 5  # 600 s of 50 sites take about 0.02 s
    assert world.now() == 600 + 30 * 24 * 3600


def test_time_stands_still_while_code_runs(world: SimWorld) -> None:
    async def main() -> None:
        await world.run(sum, range(100_000))

    world.enter(main())
    assert world.now() == 0.0


def test_timers_come_at_their_time_exactly(world: SimWorld) -> None:
    seen: list[float] = []
    times = [0.1, 0.1 + 0.2, 1 / 3, 7.7, 1e6 + 0.1]
    for when in reversed(times):
        world.call_at(when, lambda: seen.append(world.now()))
    world.enter(asyncio.sleep(2e6))
    assert seen == times


def test_the_world_stands_still_between_calls(world: SimWorld) -> None:
    future = world.spawn(asyncio.sleep(5, "slept"), "sleep")
    world.enter(asyncio.sleep(1))
    assert (world.now(), future.done()) == (1.0, False)
    assert future.result() == "slept"
    assert world.now() == 5.0


def test_one_thread_runs_at_a_time(world: SimWorld) -> None:
    inside: list[int] = []

    def work() -> None:
        for _ in range(20):
            inside.append(1)
            assert len(inside) == 1
            sum(range(2000))
            inside.pop()
            world.enter(asyncio.sleep(0))

    joins = [world.thread(work, f"thread-{n}") for n in range(5)]
    assert all(join(None) for join in joins)


def test_a_thread_of_asyncio_is_one_of_the_world(world: SimWorld) -> None:
    async def main() -> float:
        await asyncio.to_thread(world.enter, asyncio.sleep(3))
        return world.now()

    assert world.enter(main()) == 3.0


def test_join_waits_in_virtual_time(world: SimWorld) -> None:
    join = world.thread(lambda: world.enter(asyncio.sleep(60)), "sleeper")
    assert not join(59)
    assert world.now() == 59
    assert join(LATE)
    assert world.now() == 60


# hanging is an error ------------------------------------------------------------------------------


def test_a_deadlock_names_who_waits_and_where() -> None:
    world = SimWorld()

    async def forgotten() -> None:
        await asyncio.Event().wait()

    def user() -> None:
        world.enter(forgotten())

    join = world.thread(user, "the-user")
    world.spawn(forgotten(), "the-task")
    with pytest.raises(Deadlock) as caught:
        join(None)
    for word in ("the-task", "the-user", Path(__file__).name):
        assert word in str(caught.value)
    world.close()


def test_after_a_deadlock_the_world_can_go_on() -> None:
    world = SimWorld()
    event = world.enter(_make_event())
    with pytest.raises(Deadlock):
        world.enter(event.wait())
    assert world.enter(asyncio.sleep(1, "on")) == "on"
    world.close()


async def _make_event() -> asyncio.Event:
    return asyncio.Event()


def test_a_thread_that_waits_outside_the_world_is_named() -> None:
    world = SimWorld(patience=0.05)
    lock = threading.Lock()
    lock.acquire()
    join = world.thread(lock.acquire, "blocked")
    with pytest.raises(Deadlock) as caught:
        join(None)
    assert "blocked" in str(caught.value)
    lock.release()
    with pytest.raises(Deadlock):
        world.close()


def test_a_foreign_thread_is_refused(world: SimWorld) -> None:
    caught: list[RuntimeError] = []

    def foreign() -> None:
        try:
            world.enter(asyncio.sleep(1))
        except RuntimeError as error:
            caught.append(error)

    async def main() -> None:
        thread = threading.Thread(target=foreign, daemon=True)
        thread.start()
        thread.join()

    world.enter(main())
    assert len(caught) == 1


def test_sockets_are_refused(world: SimWorld) -> None:
    async def main() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    with pytest.raises(NotImplementedError):
        world.enter(main())


def test_close_ends_every_thread() -> None:
    before = threading.active_count()
    world = SimWorld()
    joins = [world.thread(lambda: world.enter(asyncio.sleep(9)), f"{n}") for n in range(5)]
    assert not joins[0](1)
    world.thread(lambda: None, "never started")
    world.close()
    assert threading.active_count() == before


def test_a_task_that_refuses_to_end_does_not_hold_up_close() -> None:
    world = SimWorld()

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    future = world.spawn(stubborn(), "stubborn")
    world.enter(asyncio.sleep(0))
    world.close()
    assert future.cancelled()


def test_a_thread_cannot_close_the_world(world: SimWorld) -> None:
    with pytest.raises(RuntimeError, match="drives"):
        world.enter(world.run(world.close))


def test_a_disk_outlives_its_world() -> None:
    disk = SimFiles()
    first = SimWorld(files=disk)
    first.files.write(Path("/a"), [b"x"])
    first.close()
    second = SimWorld(files=disk)
    assert bytes(second.files.read(Path("/a"))) == b"x"
    second.close()


# production code ----------------------------------------------------------------------------------


@flk.collab
async def train(weight: float) -> float:
    await asyncio.sleep(100)
    return weight + 1


@flk.collab
def evaluate(weight: float) -> float:
    return weight


@flk.algo
def average() -> float:
    weight = 0.0
    for _ in range(6):
        results = list(flk.clients.train(weight))
        weight = sum(results) / len(results)
        flk.clients.evaluate(weight)
    return weight


def test_a_whole_run_takes_minutes_of_virtual_time_and_is_the_same_again() -> None:
    sim = pytest.importorskip("flk_env_sim")
    traces = []
    for seed in (1, 1, 2):
        world = SimWorld(seed)
        recipe = flk.Recipe(job_name="average", min_clients=8, trackers=[])
        run = recipe.execute(sim.SimEnv(num_clients=8, seed=0, world=world))
        run.wait()
        assert (run.status, run.result, world.now()) == ("completed", 6.0, 600.0)
        traces.append(world.trace_hash())
        world.close()
    assert traces[0] == traces[1] != traces[2]
