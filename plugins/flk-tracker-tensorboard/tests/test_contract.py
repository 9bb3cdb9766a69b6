"""`tensorboard` keeps the contract of trackers, as TensorBoard's own reader sees it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from flk.spi.tracker import Tracker
from flk.testing.tracker import Row, TrackerSuite
from flk_tracker_tensorboard import TensorBoardTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


class TestTensorBoardTracker(TrackerSuite):
    def make(self) -> Tracker:
        return TensorBoardTracker()

    def read_back(self, folder: Path) -> list[Row]:
        rows: list[Row] = []
        for site in sorted((folder / "tensorboard").iterdir()):
            reader = EventAccumulator(str(site), size_guidance={"scalars": 0})
            reader.Reload()
            for tag in reader.Tags()["scalars"]:
                rows += [(unquote(site.name), tag, e.step, e.value) for e in reader.Scalars(tag)]
        return rows
