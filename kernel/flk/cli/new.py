"""`flk new`: a project of one's own, written from the files in `flk/_templates/project_*`, which
run as they are."""

from __future__ import annotations

import re
from pathlib import Path

import click

from flk.errors import StorageError, UsageError

__all__ = ["new", "write_project"]

TEMPLATES = ("numpy", "torch")

_FOLDER = Path(__file__).parent.parent / "_templates"
_NAME = re.compile(r"[a-z]([a-z0-9_-]{0,38}[a-z0-9])?")


@click.command()
@click.argument("name")
@click.option(
    "--template",
    type=click.Choice(TEMPLATES),
    default="numpy",
    show_default=True,
    help="What the model is written with.",
)
def new(name: str, template: str) -> None:
    """Write a project in a new folder NAME that runs at once."""
    folder = write_project(name, template, Path())
    click.echo(f"Wrote {folder}. Next:")
    click.echo(f"  pip install -e {folder}")
    click.echo(f"  flk run {folder}")


def write_project(name: str, template: str, into: Path) -> Path:
    """Write a project from a template into a new folder below `into`, and return the folder.

    Raises UsageError for a name that cannot be one or a folder that exists; StorageError if the
    files cannot be written: nothing is left then.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a project",
            cure="Use up to 40 lower-case letters, digits and dashes, beginning with a letter",
        )
    folder = into / name
    source = _FOLDER / f"project_{template}"
    try:
        folder.mkdir()
    except FileExistsError:
        raise UsageError(f"{folder} exists already", cure="Choose another name") from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        for path in sorted(source.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                copy = folder / path.relative_to(source)
                copy.parent.mkdir(exist_ok=True)
                text = path.read_text(encoding="utf-8").replace("PROJECT", name)
                copy.write_text(text, encoding="utf-8")
    except OSError as error:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(f"{folder} cannot be written: {error.strerror}") from error
    return folder
