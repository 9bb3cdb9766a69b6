"""Kept contract, and what the number of workers means."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import pytest
from flk.errors import UsageError
from flk.registry import load
from flk.spi.environment import Environment
from flk.spi.executor import Executor
from flk.testing.collab import CollabSuite
from flk.testing.executor import ExecutorSuite
from flk.testing.local import LocalEnv
from flk_executor_threads import ThreadsExecutor


class TestContract(ExecutorSuite):
    workers: ClassVar[int] = 4

    def make(self) -> Executor:
        return ThreadsExecutor(workers=4)


class TestOneWorker(ExecutorSuite):
    def make(self) -> Executor:
        executor = ThreadsExecutor(workers=1)
        executor.capabilities = frozenset()  # type: ignore[misc]
        return executor


class TestCollab(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return LocalEnv(num_clients, executor=ThreadsExecutor(workers=3), **options)


def test_it_is_found_by_its_name() -> None:
    assert load("executor", "threads") is ThreadsExecutor


@pytest.mark.parametrize("workers", [0, -1, 2.5, True])
def test_workers_are_a_count(workers: Any) -> None:
    with pytest.raises(UsageError):
        ThreadsExecutor(workers=workers)


def test_creation_starts_no_thread() -> None:
    before = threading.active_count()
    ThreadsExecutor(workers=50)
    assert threading.active_count() == before
