"""The observer: hooks to views, and the choice of the display."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from flk.errors import ConfigError
from flk.hooks import impl
from flk.spi.records import Fact, Metric, RunRecord

from flk_observer_progress.view import RunView

__all__ = ["Display", "ProgressObserver", "choose"]

_MODES = ("auto", "always", "plain", "never")


class Display(Protocol):
    """Shows views; told when one appears, gets on by a round, and ends; `stop` ends all."""

    def opened(self, view: RunView) -> None: ...

    def committed(self, view: RunView) -> None: ...

    def closed(self, view: RunView) -> None: ...

    def stop(self) -> None: ...


class ProgressObserver:
    """Shows every run on standard error as `FLK_PROGRESS` says, by default if it is a terminal.

    Runs of whose beginning it was not told are not shown. ConfigError from the first hook of a run
    if `FLK_PROGRESS` has another value.
    """

    def __init__(self) -> None:
        self._display: Display | None = None
        self._views: dict[str, RunView] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is to be shown: standard error is no terminal, or `never` was said."""
        mode = os.environ.get("FLK_PROGRESS", "auto")
        return mode in _MODES and not _shows(mode, sys.stderr)

    @impl
    def flk_on_run_started(self, run: RunRecord) -> None:
        if not self._views:
            self._display = choose(os.environ.get("FLK_PROGRESS", "auto"), sys.stderr)
        if self._display is not None and run.id not in self._views:
            view = self._views[run.id] = RunView(run)
            self._display.opened(view)

    @impl
    def flk_on_round_started(self, run: RunRecord, number: int, total: int) -> None:
        if view := self._views.get(run.id):
            view.round_started(number, total)

    @impl
    def flk_on_call_started(self, run: RunRecord, function: str, sites: tuple[str, ...]) -> None:
        if view := self._views.get(run.id):
            view.call_started(function, sites)

    @impl
    def flk_on_site_answered(self, run: RunRecord, site: str, error: str, seconds: float) -> None:
        if view := self._views.get(run.id):
            view.site_answered(site, error, seconds)

    @impl
    def flk_on_call_finished(self, run: RunRecord, answered: int, failed: int) -> None:
        if view := self._views.get(run.id):
            view.call_finished(answered, failed)

    @impl
    def flk_on_round_committed(self, run: RunRecord, number: int) -> None:
        if (view := self._views.get(run.id)) and self._display is not None:
            view.round_committed(number)
            self._display.committed(view)

    @impl
    def flk_on_metrics(self, run: RunRecord, records: Sequence[Metric | Fact]) -> None:
        if view := self._views.get(run.id):
            view.logged(records)

    @impl
    def flk_on_run_finished(self, run: RunRecord, status: str, error: str, seconds: float) -> None:
        view = self._views.pop(run.id, None)
        if view is not None and self._display is not None:
            view.finished(status, error, seconds)
            self._display.closed(view)

    def close(self) -> None:
        """Take away what is shown of runs that never finished."""
        self._views.clear()
        if self._display is not None:
            self._display.stop()


def choose(mode: str, stream: TextIO | None) -> Display | None:
    """The display for a value of `FLK_PROGRESS` and a stream; None for no display."""
    if mode not in _MODES:
        raise ConfigError(
            f"FLK_PROGRESS is {mode!r}", cure=f"Use one of {', '.join(_MODES)}.", owner="progress"
        )
    if stream is None or not _shows(mode, stream):
        return None
    if mode == "plain":
        from flk_observer_progress.plain import PlainDisplay

        return PlainDisplay(stream)
    from flk_observer_progress.live import LiveDisplay

    return LiveDisplay(stream, force=mode == "always")


def _shows(mode: str, stream: TextIO | None) -> bool:
    if stream is None or mode == "never":
        return False
    return mode != "auto" or (stream.isatty() and os.environ.get("TERM") != "dumb")
