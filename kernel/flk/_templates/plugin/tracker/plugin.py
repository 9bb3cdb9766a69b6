"""Metrics as a table: `acme.csv` in the run folder, one line a value."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flk.spi.records import Fact, Metric, RunRecord
from flk.spi.tracker import Tracker

__all__ = ["AcmeTracker"]

HEADER = ("site", "name", "round", "step", "value", "time")


class AcmeTracker(Tracker):
    """Appends, so that a run that starts again in its folder goes on in the same file. Facts are
    not kept. A run without a folder leaves nothing."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def start(self, run: RunRecord) -> None:
        self._path = run.folder / "acme.csv" if run.folder else None
        if self._path and not self._path.exists():
            self._append([HEADER])

    def log(self, records: Sequence[Metric | Fact]) -> None:
        self._append(
            (one.site, one.name, one.round, one.step, float(one.value), one.time)
            for one in records
            if isinstance(one, Metric)
        )

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        self._append([], durable=True)

    def _append(self, rows: Iterable[Sequence[Any]], durable: bool = False) -> None:
        if self._path is None:
            return
        with open(self._path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
            if durable:
                os.fsync(file.fileno())
