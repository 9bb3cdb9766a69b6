"""`flk completion`: scripts that let a shell complete commands, options and arguments."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(flk completion bash)"          in ~/.bashrc
    zsh:   eval "$(flk completion zsh)"           in ~/.zshrc
    fish:  flk completion fish | source           in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "flk", "_FLK_COMPLETE").source())
