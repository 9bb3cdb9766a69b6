"""Federations in virtual time: the whole run, loop and threads included, under one seed."""

from __future__ import annotations

import asyncio
from typing import Any

import flk
from flk.testing import SimWorld
from flk.testing.collab import Algorithm
from flk.testing.local import LocalEnv


class SlowSite:
    @flk.collab
    async def train(self, x: float) -> float:
        await asyncio.sleep(600 * flk.rng().random())
        return x + float(flk.site.rpartition("-")[2])

    @flk.collab
    async def never(self) -> None:
        await asyncio.Event().wait()


def conduct(algo: Any, seed: int, **options: Any) -> tuple[flk.job.Run, SimWorld]:
    world = SimWorld(seed)
    environment = LocalEnv(8, world=world, **options)
    try:
        run = flk.Recipe("sim", Algorithm(algo), SlowSite, trackers=[]).execute(environment)
        return run, world
    finally:
        environment.stop()
        world.close()


async def asynchronous() -> Any:
    order = []
    for r in flk.rounds(3, state={"x": 0.0}):
        async for site, value in flk.clients.train(r.state["x"]).as_completed():
            order.append(site)
            r.state["x"] += value
    return order, r.state["x"]


def test_sites_that_sleep_for_minutes_take_no_real_time() -> None:
    run, _ = conduct(asynchronous, seed=1)
    assert run.status == "completed"
    assert 600 < run.seconds < 1800


def test_the_same_seed_gives_the_same_course() -> None:
    runs = [conduct(asynchronous, seed) for seed in (1, 1, 2)]
    (first, once), (second, again), _ = runs
    assert first.result == second.result
    assert once.trace_hash() == again.trace_hash()
    assert first.seconds == second.seconds


def test_a_deadline_passes_in_virtual_time() -> None:
    def algo() -> Any:
        results = flk.clients(timeout=3600, optional=True).never()
        return {type(error).__name__ for error in results.failures.values()}

    run, _ = conduct(algo, seed=3)
    assert run.result == {"CallTimeout"}
    assert run.seconds == 3600


def test_grace_passes_in_virtual_time() -> None:
    async def algo() -> Any:
        results = await flk.clients(min_results=2, grace=1).train(0.0)
        return sorted(results.by_site), sorted(results.failures)

    run, _ = conduct(algo, seed=4)
    answered, failed = run.result
    assert len(answered) >= 2
    assert len(answered) + len(failed) == 8
    assert run.seconds < 600


def test_calls_side_by_side_end_in_virtual_time() -> None:
    async def one(n: int) -> float:
        return float(await flk.clients[n].train(float(n)))

    async def algo() -> Any:
        return await asyncio.gather(*map(one, range(8)))

    run, _ = conduct(algo, seed=5)
    assert run.result == [n + n + 1.0 for n in range(8)]
