"""Metrics of runs in SQLite, so that they can be asked for with SQL while a run goes on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from flk.spi.records import Fact, Metric, RunRecord
from flk.spi.tracker import Tracker

__all__ = ["SqliteTracker"]

SCHEMA = """
create table if not exists runs (id text primary key, job text, started real, status text);
create table if not exists metrics
    (run text, site text, name text, round integer, step integer, value real, time real);
create table if not exists facts (run text, site text, name text, value text, time real);
"""


class SqliteTracker(Tracker):
    """One database a run, `metrics.sqlite` in its folder; or one for all runs, at `path`.

    NaN becomes NULL. Each batch is one transaction, so a killed run leaves whole batches.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = Path(path) if path else None
        self._run = ""

    def start(self, run: RunRecord) -> None:
        if self._path is None and run.folder is not None:
            self._path = run.folder / "metrics.sqlite"
        self._run = run.id
        with self._database() as database:
            database.executescript(SCHEMA)
            row = (run.id, run.job, run.started, "running")
            database.execute("insert or replace into runs values (?, ?, ?, ?)", row)

    def log(self, records: Sequence[Metric | Fact]) -> None:
        metrics = [
            (self._run, r.site, r.name, r.round, r.step, float(r.value), r.time)
            for r in records
            if isinstance(r, Metric)
        ]
        facts = [
            (self._run, r.site, r.name, json.dumps(r.value), r.time)
            for r in records
            if isinstance(r, Fact)
        ]
        with self._database() as database:
            database.executemany("insert into metrics values (?, ?, ?, ?, ?, ?, ?)", metrics)
            database.executemany("insert into facts values (?, ?, ?, ?, ?)", facts)

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        with self._database() as database:
            database.execute("update runs set status = ? where id = ?", (status, self._run))

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """A transaction. A run without a folder has a database nobody sees."""
        path = ":memory:" if self._path is None else str(self._path)
        with closing(sqlite3.connect(path, timeout=2.0)) as database, database:
            if self._path is None:
                database.executescript(SCHEMA)
            yield database
