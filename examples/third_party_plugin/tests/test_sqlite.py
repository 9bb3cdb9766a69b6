"""What this tracker has of its own."""

import json
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner
from flk.spi.records import Fact, Metric, RunRecord
from flk_tracker_sqlite import SqliteTracker
from flk_tracker_sqlite.command import command


@pytest.fixture
def write():
    """Track a run with two losses and a fact."""

    def run(tracker, folder, identity="run-1"):
        tracker.start(RunRecord(identity, "digits", "sim", ("site-1",), folder, 1.0))
        tracker.log([Fact("labels", {"0": 3}, "site-1", 1.0)])
        tracker.log([Metric("loss", 1 / (2 + n), "site-1", n, n, 1.0) for n in range(2)])
        tracker.finish("completed", {})

    return run


def rows(path, query):
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_one_database_takes_many_runs(write, tmp_path):
    path = tmp_path / "all.sqlite"
    for identity in ("run-1", "run-2"):
        write(SqliteTracker(str(path)), None, identity)
    assert rows(path, "select id, status from runs order by id") == [
        ("run-1", "completed"),
        ("run-2", "completed"),
    ]


def test_facts_are_kept_as_json(write, tmp_path):
    write(SqliteTracker(), tmp_path)
    ((value,),) = rows(tmp_path / "metrics.sqlite", "select value from facts")
    assert json.loads(value) == {"0": 3}


def test_a_run_without_a_folder_leaves_no_file(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(SqliteTracker(), None)
    assert list(tmp_path.iterdir()) == []


def test_the_command_shows_the_last_values(write, tmp_path):
    write(SqliteTracker(), tmp_path)
    for path in (tmp_path, tmp_path / "metrics.sqlite"):
        result = CliRunner().invoke(command, [str(path), "--json"])
        assert json.loads(result.stdout) == [
            {"site": "site-1", "name": "loss", "step": 1, "value": 1 / 3}
        ]
