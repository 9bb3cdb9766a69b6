"""The suite of executors accepts what keeps the contract and names what does not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from flk.spi.executor import Executor
from flk.testing import failing
from flk.testing.executor import ExecutorSuite
from flk.testing.local import OneByOne


def suite(executor: type[Executor], size: int = 1) -> type[ExecutorSuite]:
    class Suite(ExecutorSuite):
        workers: ClassVar[int] = size

        def make(self) -> Executor:
            return executor()

    return Suite


class TestOneByOne(ExecutorSuite):
    def make(self) -> Executor:
        return OneByOne()


class Greedy(OneByOne):
    def run(self, tasks: Any, done: Any, parallel: int) -> None:
        super().run(list(tasks), done, parallel)


class Timid(OneByOne):
    """Takes an exit of a site for its own."""

    def run(self, tasks: Any, done: Any, parallel: int) -> None:
        for task in tasks:
            try:
                value = task.call()
            except Exception as error:
                done(task, None, error)
            else:
                done(task, value, None)


class Chatty(OneByOne):
    def run(self, tasks: Any, done: Any, parallel: int) -> None:
        def twice(*outcome: Any) -> None:
            done(*outcome)
            done(*outcome)

        super().run(tasks, twice, parallel)


class Deaf(OneByOne):
    def run(self, tasks: Any, done: Any, parallel: int) -> None:
        def swallow(*outcome: Any) -> None:
            try:
                done(*outcome)
            except LookupError:
                pass

        super().run(tasks, swallow, parallel)


class Hasty(OneByOne):
    """Returns before the work is done."""

    def run(self, tasks: Any, done: Any, parallel: int) -> None:
        threading.Thread(target=super().run, args=(tasks, done, parallel), daemon=True).start()


class Jealous(OneByOne):
    """One batch at a time."""

    def open(self, world: Any) -> None:
        self._lock = threading.Lock()

    def run(self, tasks: Any, done: Any, parallel: int) -> None:
        with self._lock:
            super().run(tasks, done, parallel)


class Crowd(OneByOne):
    """A thread a task, whatever was asked."""

    def run(self, tasks: Any, done: Any, parallel: int) -> None:
        with ThreadPoolExecutor(64) as pool:
            for task in tasks:
                pool.submit(super().run, [task], done, parallel)


class Boastful(OneByOne):
    capabilities = frozenset({"parallel"})


class Final(OneByOne):
    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@pytest.mark.parametrize(
    ("executor", "test"),
    [
        (Greedy, "test_tasks_are_taken_as_workers_become_free"),
        (Greedy, "test_a_batch_ends_early_when_its_tasks_do"),
        (Timid, "test_what_a_site_raises_is_told_and_the_others_work"),
        (Chatty, "test_every_task_is_told_once_with_its_value"),
        (Deaf, "test_an_error_of_done_ends_the_batch_and_is_raised"),
        (Hasty, "test_run_returns_when_every_task_was_told"),
        (Jealous, "test_a_batch_that_hangs_does_not_keep_another"),
        (Crowd, "test_at_most_parallel_tasks_run_at_once"),
        (Crowd, "test_threads_do_not_grow_with_tasks"),
        (Final, "test_close_twice_is_no_error"),
    ],
)
def test_a_planted_fault_is_found_by_its_test(executor: type[Executor], test: str) -> None:
    assert test in failing(only(suite(executor), test))


def test_an_executor_that_is_not_parallel_may_not_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flk.testing.executor.DEADLINE", 0.1)
    test = "test_tasks_overlap_where_the_executor_says_so"
    assert test in failing(only(suite(Boastful), test))


def only(suite: type[ExecutorSuite], test: str) -> type[ExecutorSuite]:
    """The suite with a single test, so that a fault costs one deadline."""
    others = [name for name in dir(suite) if name.startswith("test_") and name != test]
    return type("One", (suite,), dict.fromkeys(others, lambda self: None))
