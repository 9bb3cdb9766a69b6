"""What is known of one run at this moment, as the hooks told it. Draws nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock

from flk.spi.records import Fact, Metric, RunRecord

__all__ = ["MAX_ROWS", "Phase", "RunView", "SiteView", "clean", "metrics_text", "number"]

MAX_ROWS = 12
"""Up to so many sites are shown one by one."""

_SERVER = "server"
_MAX_METRICS = 4
_MAX_FAILING = 100


class Phase(Enum):
    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class SiteView:
    """One site: what it does now, how long its last answer took, its failures so far."""

    phase: Phase = Phase.WAITING
    seconds: float = 0.0
    failures: int = 0
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


class RunView:
    """One run. Methods may be called from any thread; who reads several fields holds `lock`.

    `sites` has a view for each of few sites, or of those that failed among many. `round` counts
    from 0 and is -1 before the first.
    """

    def __init__(self, run: RunRecord) -> None:
        self.lock = Lock()
        self.name = clean(run.job, 40)
        self.begun = time.monotonic()
        self.count = len(run.sites)
        self.few = self.count <= MAX_ROWS
        self.sites: dict[str, SiteView] = {}
        if self.few:
            self.sites = {site: SiteView() for site in run.sites}
        self.round = -1
        self.committed = 0
        self.total = 0
        self.function = ""
        self.called = self.answered = self.failed = 0
        self.metrics: dict[str, float] = {}
        self.status = ""
        self.error = ""
        self.seconds = 0.0

    def round_started(self, number: int, total: int) -> None:
        with self.lock:
            self.round, self.total = number, total
            self.called = self.answered = self.failed = 0
            if self.few:
                for site in self.sites.values():
                    site.phase = Phase.WAITING

    def round_committed(self, number: int) -> None:
        with self.lock:
            self.round = max(self.round, number)
            self.committed = number + 1

    def call_started(self, function: str, sites: Sequence[str]) -> None:
        with self.lock:
            self.function = clean(function, 24)
            self.called, self.answered, self.failed = len(sites), 0, 0
            if self.few:
                for name in sites:
                    if site := self.sites.get(name):
                        site.phase = Phase.WORKING

    def site_answered(self, name: str, error: str, seconds: float) -> None:
        with self.lock:
            if error:
                self.failed += 1
            else:
                self.answered += 1
            site = self.sites.get(name)
            if site is None:
                if not error or len(self.sites) >= _MAX_FAILING + MAX_ROWS:
                    return
                site = self.sites[name] = SiteView()
            site.phase = Phase.FAILED if error else Phase.DONE
            site.seconds = seconds
            if error:
                site.failures += 1
                site.error = clean(error, 400)

    def call_finished(self, answered: int, failed: int) -> None:
        with self.lock:
            self.answered, self.failed = answered, failed

    def logged(self, records: Sequence[Metric | Fact]) -> None:
        with self.lock:
            for record in records:
                if isinstance(record, Metric):
                    metrics = self.metrics
                    if record.site != _SERVER:
                        if not self.few or (site := self.sites.get(record.site)) is None:
                            continue
                        metrics = site.metrics
                    if record.name in metrics or len(metrics) < _MAX_METRICS:
                        metrics[record.name] = record.value

    def finished(self, status: str, error: str, seconds: float) -> None:
        with self.lock:
            self.status, self.error, self.seconds = status, clean(error, 400), seconds

    def failing(self) -> list[tuple[str, SiteView]]:
        """Sites that failed at least once, most often first. For who holds the lock."""
        failed = [(clean(name, 40), s) for name, s in self.sites.items() if s.failures]
        return sorted(failed, key=lambda pair: -pair[1].failures)


def clean(text: object, width: int) -> str:
    """One line of at most `width` characters without anything a terminal obeys."""
    line = "".join(c if c.isprintable() else " " if c.isspace() else "\ufffd" for c in str(text))
    return line if len(line) <= width else line[: width - 1] + "…"


def number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def metrics_text(metrics: dict[str, float]) -> str:
    return "  ".join(f"{clean(name, 20)} {number(value)}" for name, value in metrics.items())
