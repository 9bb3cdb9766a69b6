"""Contract of the role *command*: a word of the `flk` command line."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["Command"]


@runtime_checkable
class Command(Protocol):
    """A `click.Command` or `click.Group`. Its name on the command line is the entry point's name.

    `flk --help` shows the distribution's summary and imports nothing; the module is imported when
    the command is used. It raises `flk.errors.UsageError` for wrong use (exit 2), any other
    `flk.errors.FlkError` for failure (exit 1), and offers `--json` where a script may read. It
    never touches other commands and does no work at import.
    """

    name: str | None

    def main(
        self, args: Any = None, prog_name: str | None = None, standalone_mode: bool = True
    ) -> Any: ...
