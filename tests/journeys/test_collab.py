"""The collaborative API in every way of simulating: one site after the other, several at once, by
reference, through the serializers, in virtual time."""

from __future__ import annotations

from typing import Any

from flk.spi.environment import Environment
from flk.testing.collab import CollabSuite
from flk_env_sim import SimEnv


class TestOneByOne(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return SimEnv(num_clients, **options)


class TestThreads(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return SimEnv(num_clients, executor="threads", **options)


class TestThroughTheSerializers(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return SimEnv(num_clients, strict=True, **options)


class TestWhereEachAnswerComesTwice(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return SimEnv(num_clients, faults={"repeat": 1.0}, **options)
