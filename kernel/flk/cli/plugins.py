"""`flk plugins`: what is installed, what is wrong with it, and the start of a new one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from flk.cli.tables import table
from flk.registry.catalog import installed
from flk.spi import ROLES

__all__ = ["plugins"]


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List, examine and create plugins. Without a command: list."""
    if ctx.invoked_subcommand is not None:
        return
    found = installed()
    if as_json:
        click.echo(json.dumps([asdict(plugin) for plugin in found], indent=2))
    elif found:
        header = ("role", "name", "distribution", "version", "summary")
        rows = [(p.role, p.name, p.distribution, p.version, p.summary) for p in found]
        click.echo(table([header, *rows]), nl=False)
    else:
        click.echo("No plugins are installed. Try: pip install 'flk[sim]'")


@plugins.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Import each plugin in a process of its own and say what is wrong; exits with 1 if anything
    is."""
    from flk.registry.doctor import examine_all

    found = examine_all(installed())
    if as_json:
        click.echo(json.dumps([asdict(diagnosis) for diagnosis in found], indent=2))
    else:
        header = ("role", "name", "distribution", "verdict", "detail")
        rows = [
            (p.role, p.name, p.distribution, d.verdict, d.detail) for d in found for p in [d.plugin]
        ]
        click.echo(table([header, *rows]), nl=False)
    if not all(diagnosis.harmless for diagnosis in found):
        ctx.exit(1)


@plugins.command()
@click.argument("role", type=click.Choice([r.word for r in ROLES.values() if r.contract]))
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="Folder in which the plugin's folder is made; the current one by default.",
)
def new(role: str, name: str, into: Path) -> None:
    """Write a plugin that can be installed and passes the conformance suite of its role."""
    from flk.cli.generator import write_plugin

    folder = write_plugin(role, name, into)
    click.echo(f"Wrote {folder}. Next:")
    click.echo(f"  pip install -e {folder}")
    click.echo(f"  pytest {folder}")
