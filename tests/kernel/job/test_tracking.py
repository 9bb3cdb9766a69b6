"""Trackers may do anything: a run is told of it, and the other trackers hear what they should."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flk
import pytest
from flk import hooks
from flk.errors import ConfigError
from flk.job.tracking import Trackers
from flk.registry import Bus
from flk.spi.tracker import Tracker
from flk.testing.collab import Algorithm, Site
from flk.testing.local import LocalEnv
from flk.testing.observer import a_run
from flk.world import RealWorld

ERRORS = [ValueError("v"), SystemExit(3), StopIteration(), GeneratorExit(), KeyboardInterrupt()]


class Told(Tracker):
    """Notes what it is told, and then does what was planned for that."""

    def __init__(self, **plan: Callable[[], Any]) -> None:
        self.plan = plan
        self.heard: list[str] = []

    def start(self, run: Any) -> None:
        self._hear("start")

    def log(self, records: Sequence[Any]) -> None:
        self._hear("log")

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        self._hear("finish")

    def _hear(self, method: str) -> None:
        self.heard.append(method)
        self.plan.get(method, lambda: None)()


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def run(*trackers: Tracker, algo: Callable[[], Any] = lambda: flk.log({"loss": 1})) -> flk.job.Run:
    environment = LocalEnv(1)
    recipe = flk.Recipe("run", Algorithm(algo), Site, trackers=list(trackers))
    try:
        return recipe.execute(environment)
    finally:
        environment.stop()


@pytest.fixture
def world() -> Iterator[RealWorld]:
    world = RealWorld()
    yield world
    world.close()


@pytest.fixture
def stuck() -> Iterator[Callable[[], Any]]:
    """A function that never returns until the test has ended."""
    end = threading.Event()
    yield lambda: end.wait(60)
    end.set()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_tracker_that_cannot_start_ends_the_run_and_hears_no_more(error: BaseException) -> None:
    before, broken, after = Told(), Told(start=raising(error)), Told()
    done = run(before, broken, after)
    assert isinstance(done.error, ConfigError)
    assert f"'Told-2' cannot start: {type(error).__name__}" in str(done.error)
    assert [t.heard for t in (before, broken, after)] == [["start", "finish"], ["start"], []]


@pytest.mark.parametrize("method", ["log", "finish"])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_tracker_that_raises_later_harms_nobody_and_hears_the_end(
    method: str, error: BaseException
) -> None:
    broken, other = Told(**{method: raising(error)}), Told()
    done = run(broken, other)
    assert done.status == "completed"
    assert broken.heard == other.heard == ["start", "log", "finish"]


def test_a_start_that_hangs_is_not_taken_for_a_start(
    world: RealWorld, stuck: Callable[[], Any]
) -> None:
    hanging, bus = Told(start=stuck), Bus(world)
    trackers = Trackers([hanging], bus, world, patience=0.05)
    with pytest.raises(ConfigError, match="did not return within"):
        trackers.start(a_run())
    trackers.finish("failed", {})
    bus.close(1.0)
    assert hanging.heard == ["start"]


@pytest.mark.parametrize("method", ["log", "finish"])
def test_a_tracker_that_hangs_is_abandoned_and_the_others_hear_the_end(
    method: str, world: RealWorld, stuck: Callable[[], Any]
) -> None:
    hanging, other, bus = Told(**{method: stuck}), Told(), Bus(world)
    trackers = Trackers([hanging, other], bus, world, patience=0.05)
    trackers.start(a_run())
    trackers.log(flk.spi.records.Metric("loss", 1.0, "server", None, 0, 0.0))
    trackers.finish("completed", {})
    bus.close(1.0)
    assert other.heard == ["start", "log", "finish"]


def test_two_trackers_of_one_class_may_listen_too() -> None:
    class Listening(Told):
        @hooks.impl
        def flk_on_run_finished(self, status: str) -> None:
            self.heard.append(status)

    first, second = Listening(), Listening()
    assert run(first, second).status == "completed"
    assert "completed" in first.heard and "completed" in second.heard


def test_an_error_whose_text_cannot_be_read_is_told_like_any_other() -> None:
    class Unreadable(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    tracker = Told()
    done = run(tracker, algo=raising(Unreadable()))
    assert done.status == "failed"
    assert tracker.heard == ["start", "finish"]
