"""Both plugins keep the contract of their role."""

import sqlite3
from contextlib import closing
from pathlib import Path

from flk.testing.command import CommandSuite
from flk.testing.tracker import Row, TrackerSuite
from flk_tracker_sqlite import SqliteTracker


class TestTracker(TrackerSuite):
    def make(self) -> SqliteTracker:
        return SqliteTracker()

    def read_back(self, folder: Path) -> list[Row]:
        query = "select site, name, step, value from metrics where value is not null"
        with closing(sqlite3.connect(folder / "metrics.sqlite")) as database:
            return database.execute(query).fetchall()


class TestCommand(CommandSuite):
    target = "flk_tracker_sqlite.command:command"
    failures = ([], ["no/such/file"], [__file__])
