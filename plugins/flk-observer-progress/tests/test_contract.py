"""`progress` bears what every observer must bear, in each of its modes."""

from __future__ import annotations

import contextlib
import io
import os

from flk.testing.observer import ObserverSuite
from flk_observer_progress import ProgressObserver


class Quiet:
    """With standard error and FLK_PROGRESS of its own."""

    mode: str

    def setup_method(self) -> None:
        self._before = os.environ.get("FLK_PROGRESS")
        os.environ["FLK_PROGRESS"] = self.mode
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        self._made: list[ProgressObserver] = []

    def teardown_method(self) -> None:
        for observer in self._made:
            observer.close()
        self._stack.close()
        os.environ.pop("FLK_PROGRESS")
        if self._before is not None:
            os.environ["FLK_PROGRESS"] = self._before

    def make(self) -> ProgressObserver:
        self._made.append(ProgressObserver())
        return self._made[-1]


class TestLive(Quiet, ObserverSuite):
    mode = "always"


class TestPlain(Quiet, ObserverSuite):
    mode = "plain"


class TestNever(Quiet, ObserverSuite):
    mode = "never"


class TestAutoWithoutTerminal(Quiet, ObserverSuite):
    mode = "auto"
