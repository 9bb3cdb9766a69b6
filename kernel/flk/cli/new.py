"""`flk new`: a project of one's own, written from the files in `flk/_templates/project_*`, which
run as they are."""

from __future__ import annotations

from pathlib import Path

import click

from flk.errors import UsageError

__all__ = ["new", "write_project"]

KINDS = ("numpy", "torch")


@click.command()
@click.argument("name")
@click.option(
    "--template",
    type=click.Choice(KINDS),
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

    Raises UsageError for a name that cannot be one, and what `write_folder` raises.
    """
    from flk.cli.generator import NAME, TEMPLATES, write_folder

    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a project",
            cure="Use up to 40 lower-case letters, digits and dashes, beginning with a letter",
        )
    source = TEMPLATES / f"project_{template}"
    write_folder(
        into / name,
        {
            path.relative_to(source).as_posix(): path.read_text("utf-8").replace("PROJECT", name)
            for path in sorted(source.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        },
    )
    return into / name
