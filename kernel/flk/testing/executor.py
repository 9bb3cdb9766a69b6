"""The conformance suite of the role *executor*."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from flk.spi.executor import Executor, SiteTask
from flk.world import RealWorld

__all__ = ["ExecutorSuite", "FakeTask"]

DEADLINE = 20.0


class FakeTask:
    """A task around a function of its site's number."""

    function = "work"

    def __init__(self, number: int, work: Callable[[int], Any]) -> None:
        self.site = f"site-{number}"
        self.number = number
        self.target = work

    @property
    def args(self) -> tuple[Any, ...]:
        return (self.number,)

    @property
    def kwargs(self) -> dict[str, Any]:
        return {}

    def call(self) -> Any:
        return self.target(self.number)


class ExecutorSuite:
    """Override `make`. `workers`: how many tasks it has under way at most, with what `make`
    makes. Capability `parallel` asks whether tasks of a batch overlap."""

    workers: ClassVar[int] = 1

    def make(self) -> Executor:
        """A new executor that was not opened."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self.world = RealWorld()
        self.opened = self.make()
        self.opened.open(self.world)
        self.left_open = True
        self.told: dict[str, tuple[Any, BaseException | None]] = {}
        self.twice: list[str] = []
        self.lock = threading.Lock()

    def teardown_method(self) -> None:
        self.world.close()
        if self.left_open:
            self.opened.close()

    def done(self, task: SiteTask, value: Any, error: BaseException | None) -> None:
        with self.lock:
            if task.site in self.told:
                self.twice.append(task.site)
            self.told[task.site] = value, error

    def run(self, work: Callable[[int], Any], count: int = 5, parallel: int = 0) -> None:
        self.opened.run([FakeTask(n, work) for n in range(count)], self.done, parallel)

    def test_every_task_is_told_once_with_its_value(self) -> None:
        self.run(lambda n: n * n, 7)
        assert self.told == {f"site-{n}": (n * n, None) for n in range(7)}
        assert not self.twice

    def test_none_is_a_value(self) -> None:
        self.run(lambda n: None, 2)
        assert self.told == {"site-0": (None, None), "site-1": (None, None)}

    def test_an_empty_batch_returns_at_once(self) -> None:
        self.run(lambda n: n, 0)
        assert self.told == {}

    def test_what_a_site_raises_is_told_and_the_others_work(self) -> None:
        errors = [ValueError("no"), SystemExit(3), KeyboardInterrupt(), StopIteration(), None]

        def work(n: int) -> str:
            error = errors[n]
            if error is not None:
                raise error
            return "well"

        self.run(work)
        assert [self.told[f"site-{n}"] for n in range(5)] == [
            *((None, error) for error in errors[:4]),
            ("well", None),
        ]

    def test_run_returns_when_every_task_was_told(self) -> None:
        gate = threading.Event()
        threading.Timer(0.05, gate.set).start()
        self.run(lambda n: gate.wait(DEADLINE), 4)
        assert len(self.told) == 4

    def test_tasks_are_taken_as_workers_become_free(self) -> None:
        taken = 0
        highest = 0

        def tasks() -> Iterator[FakeTask]:
            nonlocal taken, highest
            for n in range(50):
                taken += 1
                with self.lock:
                    highest = max(highest, taken - len(self.told))
                yield FakeTask(n, lambda number: number)

        self.opened.run(tasks(), self.done, 0)
        assert len(self.told) == 50
        assert highest <= self.workers

    def test_a_batch_ends_early_when_its_tasks_do(self) -> None:
        def tasks() -> Iterator[FakeTask]:
            for n in range(100):
                if len(self.told) >= 3:
                    return
                yield FakeTask(n, lambda number: number)

        self.opened.run(tasks(), self.done, 0)
        assert 3 <= len(self.told) <= 3 + self.workers

    def test_at_most_parallel_tasks_run_at_once(self) -> None:
        under_way = highest = 0

        def work(n: int) -> None:
            nonlocal under_way, highest
            with self.lock:
                under_way += 1
                highest = max(highest, under_way)
            threading.Event().wait(0.002)
            with self.lock:
                under_way -= 1

        self.run(work, 12, parallel=1)
        assert len(self.told) == 12
        assert highest == 1

    def test_more_parallel_than_workers_is_no_error(self) -> None:
        self.run(lambda n: n, 5, parallel=1000)
        assert len(self.told) == 5

    def test_an_error_of_done_ends_the_batch_and_is_raised(self) -> None:
        worked: list[int] = []

        def refuse(task: SiteTask, value: Any, error: BaseException | None) -> None:
            raise LookupError("nobody listens")

        tasks = (FakeTask(n, worked.append) for n in range(500))
        with pytest.raises(LookupError):
            self.opened.run(tasks, refuse, 0)
        assert len(worked) <= 2 * self.workers

    def test_an_error_of_the_tasks_is_raised(self) -> None:
        def tasks() -> Iterator[FakeTask]:
            yield FakeTask(0, lambda n: n)
            raise LookupError("no more")

        with pytest.raises(LookupError):
            self.opened.run(tasks(), self.done, 0)
        assert "site-0" in self.told

    def test_one_batch_after_the_other(self) -> None:
        for n in range(3):
            self.told.clear()
            self.run(lambda number, n=n: n, 3)  # type: ignore[misc]
            assert len(self.told) == 3

    def test_a_batch_that_hangs_does_not_keep_another(self) -> None:
        gate, begun = threading.Event(), threading.Event()

        def hang(n: int) -> bool:
            begun.set()
            return gate.wait(DEADLINE)

        batch = [FakeTask(n, hang) for n in range(100, 100 + self.workers)]
        join = self.world.thread(lambda: self.opened.run(batch, self.done, 0), "hanging batch")
        try:
            assert begun.wait(DEADLINE)
            beside = self.world.thread(lambda: self.run(lambda n: n, 3), "another batch")
            assert beside(DEADLINE / 4), "the second batch waits for the first"
            assert {"site-0", "site-1", "site-2"} <= set(self.told)
        finally:
            gate.set()
            assert join(DEADLINE)

    def test_threads_do_not_grow_with_tasks(self) -> None:
        before = threading.active_count()
        highest = 0

        def work(n: int) -> None:
            nonlocal highest
            highest = max(highest, threading.active_count())

        self.run(work, 2000)
        assert len(self.told) == 2000
        assert highest <= before + self.workers

    def test_tasks_overlap_where_the_executor_says_so(self) -> None:
        if "parallel" not in self.opened.capabilities:
            pytest.skip("not parallel")
        meeting = threading.Barrier(2)
        self.run(lambda n: meeting.wait(DEADLINE) >= 0, 2)
        assert [error for _, error in self.told.values()] == [None, None]

    def test_close_twice_is_no_error(self) -> None:
        self.left_open = False
        self.opened.close()
        self.opened.close()
