"""`flk acme`: how many files a folder holds, and how large they are."""

from __future__ import annotations

import json
from pathlib import Path

import click
from flk.errors import UsageError

__all__ = ["command"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(folder: Path, as_json: bool) -> None:
    """Count the files below FOLDER."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", cure="Give the path of one")
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    if as_json:
        click.echo(json.dumps({"files": len(sizes), "bytes": sum(sizes)}))
    else:
        click.echo(f"{len(sizes)} files, {sum(sizes)} bytes")
