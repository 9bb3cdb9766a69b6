"""Calls of every kind under faults of every kind, drawn from a seed.

What must hold of each: it ends, it takes the same course again and with another executor, no site
counts twice, and a mean is that of exactly the contributions that were accepted.
"""

from __future__ import annotations

import asyncio
import faulthandler
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import flk
import numpy as np
import pytest
from flk.errors import CallError, QuorumError
from flk_env_sim import SimEnv

SEEDS = range(100, 220)
FUNCTIONS = ("train", "train_async", "relay")
KINDS = ("reduce", "reduce_open", "as_completed", "values", "callback", "cancel", "forget", "one")


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """A run that hangs ends the tests with the stack of every thread."""
    faulthandler.dump_traceback_later(100, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


class Plan(NamedTuple):
    sites: int
    faults: dict[str, float]
    steps: list[tuple[str, str, dict[str, Any]]]
    environment: dict[str, Any]
    in_coroutine: bool


def planned(seed: int) -> Plan:
    draw = random.Random(seed)
    chances = {
        kind: draw.choice([0.05, 0.2, 0.5])
        for kind in ("drop", "reply_lost", "crash", "nan", "late", "repeat")
        if draw.random() < 0.4
    }
    if draw.random() < 0.5:
        chances["delay"] = draw.choice([1.0, 30.0])
    steps = [
        (draw.choice(FUNCTIONS), draw.choice(KINDS), options(draw))
        for _ in range(draw.randint(1, 5))
    ]
    for function, _, chosen in steps:
        if function == "train_async":
            chosen.pop("grace", None)  # coroutines take real time
    environment = draw.choice([{}, {}, {"strict": True}, {"share": True}])
    return Plan(draw.randint(1, 9), chances, steps, environment, draw.random() < 0.4)


def options(draw: random.Random) -> dict[str, Any]:
    every = {
        "timeout": [60, 600],
        "min_results": [0, 1, 2, 0.5, 1.0],
        "grace": [0, 1, 30],
        "retries": [1, 2],
        "parallel": [1, 2],
        "optional": [True],
        "key": ["a", "b"],
    }
    return {name: draw.choice(some) for name, some in every.items() if draw.random() < 0.3}


class Site:
    """Contributes a power of two of its own, so that a sum tells who is in it."""

    @flk.collab
    def train(self, w: Any) -> Any:
        flk.state["calls"] = flk.state.get("calls", 0) + 1
        return w + 2.0 ** int(flk.site[5:]), 1

    @flk.collab
    async def train_async(self, w: Any) -> Any:
        await asyncio.sleep(0)
        return self.train(w)

    @flk.collab
    def relay(self, w: Any) -> Any:
        for other in flk.other_clients:
            try:
                other.train(w)
                break
            except CallError:
                continue
        return self.train(w)


def told(results: Any, mean: Any) -> Any:
    """Who is in the mean; the mean must be theirs."""
    failures = results.failures
    accepted = [name for name in flk.clients.names if name not in failures]
    expected = sum(2.0 ** int(name[5:]) for name in accepted) / len(accepted)
    assert mean.tolist() == pytest.approx([expected] * 3, rel=1e-12), (mean, accepted)
    return accepted


def once(sites: list[str]) -> list[str]:
    assert len(set(sites)) == len(sites), f"counted twice: {sites}"
    return sorted(sites)


async def step(function: str, kind: str, chosen: dict[str, Any], waits: bool) -> Any:
    """One call. Awaited where the algorithm is a coroutine (`waits`)."""
    w, heard = np.zeros(3), []
    if kind == "one":
        pending = getattr(flk.clients[0](blocking=False, **chosen), function)(w)
        value = (await pending) if waits else pending.result()
        return None if value is None else bool(np.isfinite(value[0]).all())
    if kind == "callback":
        chosen = {**chosen, "callback": lambda site, value: heard.append(site)}
    lasting = kind in ("reduce_open", "as_completed", "cancel")
    group = flk.clients(blocking=not lasting, expect_result=kind != "forget", **chosen)
    results = getattr(group, function)(w)
    if kind == "forget":
        return None
    if kind == "cancel":
        results.cancel()
        return results.progress.open
    if kind == "as_completed":
        if waits:
            return once([site async for site, _ in results.as_completed()])
        return once([site for site, _ in results.as_completed()])
    if kind == "reduce_open":
        mean = (await results.reduce("mean")) if waits else results.reduce("mean")
        return told(results, mean)
    if waits:
        await results
    if kind == "reduce":
        return told(results, results.reduce("mean"))
    found = heard if kind == "callback" else list(results.by_site)
    assert len(found) == results.progress.answered
    return once(found)


def algorithm(plan: Plan) -> type:
    async def course() -> Any:
        outcomes: list[Any] = []
        for function, kind, chosen in plan.steps:
            try:
                outcomes.append(await step(function, kind, chosen, plan.in_coroutine))
            except (QuorumError, CallError) as error:
                outcomes.append((error.code, sorted(getattr(error, "failures", ()))))
        return outcomes

    class InCoroutine:
        @flk.algo
        async def algo(self) -> Any:
            return await course()

    class Plain:
        @flk.algo
        def algo(self) -> Any:
            try:
                course().send(None)  # it never waits
            except StopIteration as end:
                return end.value
            raise AssertionError("a call that does not wait was waited for")

    return InCoroutine if plan.in_coroutine else Plain


def outcome(plan: Plan, executor: str) -> Any:
    environment = SimEnv(
        plan.sites, faults=plan.faults, executor=executor, seed=5, **plan.environment
    )
    recipe = flk.Recipe("schedule", algorithm(plan), Site, trackers=[])
    return recipe.execute(environment).value()


def test_any_schedule_ends_the_same_way_and_counts_nobody_twice() -> None:
    for seed in SEEDS:
        plan = planned(seed)
        print(f"seed {seed}: {plan}")
        first = outcome(plan, "serial")
        assert outcome(plan, "serial") == first
        assert outcome(plan, "threads") == first
