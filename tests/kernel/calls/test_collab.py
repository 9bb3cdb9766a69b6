"""The collaborative API over direct calls, with a kernel alone."""

from __future__ import annotations

from typing import Any

from flk.spi.environment import Environment
from flk.testing.collab import CollabSuite
from flk.testing.local import LocalEnv


class TestCollab(CollabSuite):
    def environment(self, num_clients: int, **options: Any) -> Environment:
        return LocalEnv(num_clients, **options)
