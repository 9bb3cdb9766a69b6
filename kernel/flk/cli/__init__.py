"""The command `flk`: the root group, whose list of commands imports none of them.

Commands of the kernel are found in a table, those of plugins by the entry points of the role
`command`; a module is imported when its command is used.
"""

from __future__ import annotations

import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

from flk.errors import FlkError
from flk.registry.catalog import installed

__all__ = ["main", "root"]

COMMANDS: dict[str, tuple[str, str, str]] = {
    "completion": ("flk.cli.completion", "completion", "Print the completion script of a shell."),
    "new": ("flk.cli.new", "new", "Write a project that runs at once."),
    "plugins": ("flk.cli.plugins", "plugins", "List, examine and create plugins."),
    "recipes": ("flk.cli.recipes", "recipes", "List the installed workflows."),
    "run": ("flk.cli.run", "run", "Run a recipe: a file, a folder or a module."),
}
"""Commands of the kernel: name to module, attribute and summary. They win over plugins."""


def main(args: list[str] | None = None) -> None:
    """Entry point of the console script; exits with 0, 1 (failed), 2 (wrong use) or 130
    (interrupted)."""
    try:
        sys.exit(root.main(args, prog_name="flk", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)


class _Root(click.Group):
    """Knows its commands by name and summary, and turns errors of flk into one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_summaries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            from importlib import import_module

            module, attribute, _ = COMMANDS[cmd_name]
            command: click.Command = getattr(import_module(module), attribute)
            return command
        if cmd_name in _summaries():
            from flk.registry.loader import load

            return load("command", cmd_name)  # type: ignore[no-any-return]
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _summaries():
            from difflib import get_close_matches

            near = get_close_matches(args[0], _summaries(), 1)
            hint = f"Did you mean {near[0]!r}?" if near else "'flk --help' lists all"
            ctx.fail(f"There is no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_summaries().items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [
            CompletionItem(name, help=summary)
            for name, summary in sorted(_summaries().items())
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> None:
        try:
            super().invoke(ctx)
        except FlkError as error:
            if ctx.params["debug"]:
                import traceback

                traceback.print_exception(error)
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


def _summaries() -> dict[str, str]:
    """Summary by name of every command; that of a plugin is its distribution's."""
    plugins = {plugin.name: plugin.summary for plugin in installed("command")}
    return plugins | {name: summary for name, (_, _, summary) in COMMANDS.items()}


def _version(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"flk {version('flk')}")
        ctx.exit()


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, envvar="FLK_DEBUG", help="Show the traceback of an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def root(debug: bool) -> None:
    """One model, many sites, no pooled data."""
