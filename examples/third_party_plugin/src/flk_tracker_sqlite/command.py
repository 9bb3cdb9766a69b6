"""`flk metrics`: the last value of each metric in a database that the tracker wrote."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import click
from flk.errors import UsageError

__all__ = ["command"]

LAST = """
select site, name, step, value from metrics
where rowid in (select max(rowid) from metrics group by run, site, name) order by name, site
"""


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(path: Path, as_json: bool) -> None:
    """Show the last value of each metric in PATH: a database, or the folder of a run."""
    file = path / "metrics.sqlite" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"there is no database {file}", cure='Run with trackers=["sqlite"]')
    try:
        with closing(sqlite3.connect(f"file:{file.resolve()}?mode=ro", uri=True)) as database:
            rows = database.execute(LAST).fetchall()
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if as_json:
        names = ("site", "name", "step", "value")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
    else:
        for site, name, step, value in rows:
            click.echo(f"{name}  {site}  step {step}  {value}")
