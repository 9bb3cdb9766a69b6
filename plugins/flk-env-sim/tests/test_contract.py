"""The simulator and its executor keep their contracts."""

from __future__ import annotations

from typing import Any

import pytest
from flk.registry import load
from flk.spi.environment import Environment
from flk.spi.executor import Executor
from flk.testing.collab import CollabSuite
from flk.testing.environment import EnvironmentSuite
from flk.testing.executor import ExecutorSuite
from flk_env_sim import SimEnv
from flk_env_sim.serial import SerialExecutor


class TestSimEnv(EnvironmentSuite):
    def make(self, sites: int = 3) -> Environment:
        return SimEnv(sites)


class TestSerialExecutor(ExecutorSuite):
    def make(self) -> Executor:
        return SerialExecutor()


class TestCollab(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return SimEnv(num_clients, **options)


class TestStrict(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return SimEnv(num_clients, strict=True, **options)


@pytest.mark.parametrize(
    ("role", "name", "found"),
    [("environment", "sim", SimEnv), ("executor", "serial", SerialExecutor)],
)
def test_they_are_found_by_their_names(role: str, name: str, found: type) -> None:
    assert load(role, name) is found
