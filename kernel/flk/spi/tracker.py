"""Contract of the role *tracker*: where the metrics of a run go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from flk.spi.records import Fact, Metric, RunRecord

__all__ = ["Tracker"]


class Tracker(ABC):
    """Receives one run. All methods are called from one thread of the kernel's, in order: `start`,
    then `log` any number of times, then `finish` once, also after an abort. They may block:
    training does not wait for them (a bounded queue drops its oldest metrics and `finish` tells how
    many).

    A tracker that cannot start ends the run, and is not told `finish`. One that raises later is
    reported by name and the run goes on; after three failures, or 30 s in one call, it is dropped.
    A tracker may also be an observer: it implements `flk_on_...` hooks and is told those events as
    well. It is created with the options the user wrote; it reads no environment and starts nothing
    before `start`.
    """

    @abstractmethod
    def start(self, run: RunRecord) -> None:
        """A run begins."""

    @abstractmethod
    def log(self, records: Sequence[Metric | Fact]) -> None:
        """Some metrics and facts, in the order in which they were logged; those of many sites
        interleave."""

    @abstractmethod
    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        """The run ended as `completed`, `failed` or `aborted`; everything logged must be durable on
        return. `summary`: `seconds`, `rounds`, `result` (if it is plain data), `error` (a
        sentence), `dropped` (a count)."""
