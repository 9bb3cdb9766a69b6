"""`jsonl` keeps the contract of trackers."""

from __future__ import annotations

from pathlib import Path

from flk.spi.records import Metric
from flk.spi.tracker import Tracker
from flk.testing.tracker import Row, TrackerSuite
from flk_tracker_jsonl import JsonlTracker, read_metrics


class TestJsonlTracker(TrackerSuite):
    def make(self) -> Tracker:
        return JsonlTracker()

    def read_back(self, folder: Path) -> list[Row]:
        return [
            (record.site, record.name, record.step, record.value)
            for record in read_metrics(folder)
            if isinstance(record, Metric)
        ]
