"""A run as its submitter sees it: how it stands, what it returned, what it measured. No execution
here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flk.errors import CallError, FlkError
from flk.spi.records import Fact, Metric, RunRecord

__all__ = ["LogLine", "Run"]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that code of the run logged. `time` is Unix seconds, `site` where it ran."""

    time: float
    site: str
    level: str
    text: str


class Run:
    """One execution of a job. `status` is `running`, then `completed`, `failed` or `aborted`, and
    never changes again.

    result: what the algorithm returned; None unless completed.
    error: the exception that ended it, else None.
    metrics, facts, logs: what was logged so far; of metrics the newest 200,000 are kept, of the
        others 20,000.
    failures: what went wrong at sites in calls of the algorithm, the newest 1,000; each error names
        its site and function and carries the site's traceback.
    rounds, seconds: how many rounds are committed and how long it took, known at the end.
    """

    def __init__(
        self,
        record: RunRecord,
        *,
        join: Callable[[float | None], bool],
        abort: Callable[[str], None],
    ) -> None:
        self.record = record
        self.status = "running"
        self.result: Any = None
        self.error: BaseException | None = None
        self.rounds = 0
        self.seconds = 0.0
        self.failures: deque[CallError] = deque(maxlen=1000)
        self.metrics: deque[Metric] = deque(maxlen=200_000)
        self.facts: deque[Fact] = deque(maxlen=20_000)
        self.logs: deque[LogLine] = deque(maxlen=20_000)
        self._join = join
        self._abort = abort

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def folder(self) -> Path | None:
        """Where the run keeps its files, if it keeps any."""
        return self.record.folder

    @property
    def sites(self) -> Sequence[str]:
        return self.record.sites

    @property
    def done(self) -> bool:
        return self.status != "running"

    def wait(self, timeout: float | None = None) -> Run:
        """Until the run has ended, or `timeout` seconds are over; returns the run itself. Never
        raises the run's error: look at `status` and `error`, or call `value()`."""
        self._join(timeout)
        return self

    def value(self) -> Any:
        """Wait for the end and return `result`; raises the run's error."""
        self.wait()
        if self.error is not None:
            raise self.error
        if self.status != "completed":
            raise FlkError(f"the run {self.id} was {self.status}")
        return self.result

    def abort(self, reason: str = "stopped by the user") -> None:
        """End the run in good order: running functions finish, nothing new starts, what was
        committed stays. Returns at once."""
        self._abort(reason)

    def last(self, site: str = "server") -> dict[str, float]:
        """The newest value of each metric of a site."""
        return {m.name: m.value for m in list(self.metrics) if m.site == site}

    def series(self, name: str, site: str = "server") -> list[tuple[int, float]]:
        """(step, value) of one metric of one site, in the order of logging."""
        return [(m.step, m.value) for m in list(self.metrics) if m.name == name and m.site == site]

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.status}>"
