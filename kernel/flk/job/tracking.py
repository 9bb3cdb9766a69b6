"""The trackers of one run, each behind a courier of its own: none waits for another, and none can
harm the run once it has started. What they are told is the run's business."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flk.errors import ConfigError
from flk.job.place import sentence
from flk.registry import Bus, Courier, installed, load
from flk.spi.records import Fact, Metric, RunRecord
from flk.spi.tracker import Tracker
from flk.world import World

__all__ = ["PATIENCE", "Trackers"]

PATIENCE = 30.0
"""Seconds one call of a tracker may take."""

_log = logging.getLogger("flk")


class Trackers:
    """`wanted` as in Recipe. Trackers that have hooks are registered with the bus. Each is told
    `finish` once, whatever went wrong after it had started."""

    def __init__(
        self,
        wanted: Sequence[str | Tracker] | None,
        bus: Bus,
        world: World,
        patience: float = PATIENCE,
    ) -> None:
        self._patience = patience
        self._started: list[_Told] = []
        self._all = [_Told(name, tracker, world, patience) for name, tracker in _found(wanted, bus)]

    def start(self, run: RunRecord) -> None:
        """Tell all that a run begins, and wait for them. ConfigError for one that cannot."""
        for told in self._all:
            told.courier.put(("start", run))
            if not told.courier.flush(self._patience) or told.courier.failures:
                fault = told.fault or f"it did not return within {self._patience:g} seconds"
                raise ConfigError(
                    f"tracker {told.courier.name!r} cannot start: {fault}",
                    cure="Repair it or leave it out of Recipe(trackers=[...])",
                )
            self._started.append(told)

    def log(self, record: Metric | Fact) -> None:
        """Hand over one record and return at once."""
        for told in self._all:
            told.courier.put(record)

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        """Tell those that started how the run ended, and wait for them; end the threads of all."""
        for told in self._started:
            told.courier.put(("finish", status, {**summary, "dropped": told.courier.lost}))
        for told in self._all:
            told.courier.close(self._patience)


class _Told:
    """One tracker, its courier and the last thing that went wrong."""

    def __init__(self, name: str, tracker: Tracker, world: World, patience: float) -> None:
        self.fault = ""
        self._tracker = tracker
        self.courier = Courier(
            world, name, self._tell, patience, limit=200_000, batch=1000, failed=self._failed
        )

    def _tell(self, items: Sequence[Any]) -> None:
        records = [item for item in items if not isinstance(item, tuple)]
        try:
            if records:
                self._tracker.log(records)
        finally:  # the end is told, though its last records were too much
            for method, *arguments in (item for item in items if isinstance(item, tuple)):
                getattr(self._tracker, method)(*arguments)

    def _failed(self, items: Sequence[Any], error: BaseException, dropped: bool) -> None:
        self.fault = sentence(error)
        end = "; it is dropped" if dropped else ""
        _log.warning("tracker %r: %s%s", self.courier.name, self.fault, end)


def _found(wanted: Sequence[str | Tracker] | None, bus: Bus) -> Iterator[tuple[str, Tracker]]:
    if wanted is None:
        wanted = ["jsonl"] if any(p.name == "jsonl" for p in installed("tracker")) else []
    names: Counter[str] = Counter()
    for item in wanted:
        if isinstance(item, str):
            name, tracker = item, load("tracker", item)()
        elif isinstance(item, Tracker):
            name, tracker = type(item).__name__, item
        else:
            raise ConfigError(
                f"{item!r} is not a tracker", cure="Give a name such as 'jsonl' or a Tracker object"
            )
        names[name] += 1
        if names[name] > 1:
            name = f"{name}-{names[name]}"
        if any(n.startswith("flk_") for n in dir(tracker)):
            bus.register(tracker, name)
        yield name, tracker
