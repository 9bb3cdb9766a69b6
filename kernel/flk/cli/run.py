"""`flk run`: one recipe in one environment, with what came out of it. Progress is shown by
observers, not here."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from flk.errors import FlkError, UsageError

if TYPE_CHECKING:
    from flk.job import Recipe, Run
    from flk.spi.environment import Environment

__all__ = ["run"]

ROUNDS = ("rounds", "num_rounds", "n")
"""What algorithms call their number of rounds; `--rounds` sets the first that there is."""


def _files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _environments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from flk.registry.catalog import installed

    return [p.name for p in installed("environment") if p.name.startswith(incomplete)]


@click.command()
@click.argument("target", metavar="PATH_OR_MODULE", shell_complete=_files)
@click.option(
    "--env", default="sim", show_default=True, help="Where to run.", shell_complete=_environments
)
@click.option("--sites", type=click.IntRange(min=1), help="How many sites.")
@click.option("--rounds", type=click.IntRange(min=0), help="How many rounds.")
@click.option("--seed", type=int, help="What all randomness derives from.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the run there; a run that died goes on.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting of the job; TOML, else text. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, nothing else.")
@click.pass_context
def run(
    ctx: click.Context,
    target: str,
    env: str,
    sites: int | None,
    rounds: int | None,
    seed: int | None,
    folder: Path | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run a recipe: a Python file, a folder with recipe.py or main.py, or a module.

    Exits with 0 if the run completed, 1 if it failed or was aborted. Ctrl-C ends it in good order;
    a second one at once.
    """
    from flk.cli.outcome import explain, summary, told
    from flk.job import load_recipe

    options = {"num_clients": sites, "seed": seed, "folder": folder}
    with _stdout_to_stderr() if as_json else nullcontext(), _errors_of_user_code():
        recipe = load_recipe(target)
        recipe.set(dict(map(_setting, settings)) | _rounds(recipe, rounds))
        done = _execute(recipe, _environment(env, options))
    if as_json:
        click.echo(json.dumps(told(done), indent=2))
    else:
        click.echo(summary(done), nl=False)
    explain(done, ctx.find_root().params["debug"])
    ctx.exit(0 if done.status == "completed" else 1)


def _execute(recipe: Recipe, environment: Environment) -> Run:
    """Start it and wait for the end. A Ctrl-C while it starts waits until there is a run to end."""
    early = False

    def remember(number: int, frame: object) -> None:
        nonlocal early
        if early:
            raise KeyboardInterrupt
        early = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        started = recipe.execute(environment, wait=False)
    except BaseException:
        signal.signal(signal.SIGINT, before)
        raise
    try:
        signal.signal(signal.SIGINT, before)
        if early:
            raise KeyboardInterrupt
        started.wait()
    except KeyboardInterrupt:
        click.echo("Stopping when running functions end; Ctrl-C again stops at once.", err=True)
        started.abort("interrupted by the user")
        started.wait()
    environment.stop()
    return started


def _environment(name: str, options: Mapping[str, Any]) -> Environment:
    """The environment with those of the options that were given."""
    import inspect

    from flk.registry import load

    options = {name: value for name, value in options.items() if value is not None}
    words = {"num_clients": "sites"}
    made = load("environment", name)
    takes = inspect.signature(made).parameters
    for option in options:
        if option not in takes:
            raise UsageError(f"the environment {name!r} has no --{words.get(option, option)}")
    for parameter in takes.values():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if required and parameter.name not in options:
            raise UsageError(
                f"the environment {name!r} needs {parameter.name}",
                cure=f"Give --{words[parameter.name]}"
                if parameter.name in words
                else f"Run it from Python: recipe.execute(flk.env.{name}(...))",
            )
    environment: Environment = made(**options)
    return environment


def _rounds(recipe: Recipe, rounds: int | None) -> dict[str, int]:
    if rounds is None:
        return {}
    known = recipe.settings()
    for name in ROUNDS:
        if name in known:
            return {name: rounds}
    raise UsageError(
        f"the job {recipe.job_name!r} has no number of rounds",
        cure=f"Give its algorithm a parameter {ROUNDS[0]!r}, or use --set",
    )


def _setting(text: str) -> tuple[str, Any]:
    import tomllib

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--set {text!r} is not NAME=VALUE")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return name.strip(), value
    return name.strip(), parsed["value"] if len(parsed) == 1 else value


@contextmanager
def _errors_of_user_code() -> Iterator[None]:
    """What the user's constructors and factories raise, as one sentence; other bugs stay bugs."""
    from flk.job.place import place_of, sentence

    try:
        yield
    except FlkError:
        raise
    except Exception as error:
        if place := place_of(error):
            raise FlkError(f"{sentence(error)} ({place})") from error
        raise


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What user code prints, libraries in C too, must not stand beside the JSON."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
