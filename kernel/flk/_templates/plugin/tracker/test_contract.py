"""The tracker acme keeps its contract."""

import csv
from pathlib import Path

from flk.testing.tracker import Row, TrackerSuite
from flk_role_acme import AcmeTracker


class TestAcme(TrackerSuite):
    def make(self) -> AcmeTracker:
        return AcmeTracker()

    def read_back(self, folder: Path) -> list[Row]:
        with open(folder / "acme.csv", newline="", encoding="utf-8") as file:
            return [
                (row["site"], row["name"], int(row["step"]), float(row["value"]))
                for row in csv.DictReader(file)
            ]
