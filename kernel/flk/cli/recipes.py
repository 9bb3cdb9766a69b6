"""`flk recipes`: the workflows that are installed, what one takes and what it asks of a site."""

from __future__ import annotations

import json
from typing import Any

import click
from click.shell_completion import CompletionItem

from flk.cli.tables import table
from flk.registry.catalog import find, installed

__all__ = ["recipes"]


def _names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [
        CompletionItem(p.name, help=p.summary)
        for p in installed("workflow")
        if p.name.startswith(incomplete)
    ]


@click.command()
@click.argument("name", required=False, shell_complete=_names)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def recipes(name: str | None, as_json: bool) -> None:
    """List the installed workflows; with NAME, what one takes and what the site code must export.

    A workflow is used as flk.Recipe("job", server=flk.workflow.NAME(...)).
    """
    if name is not None:
        shown = _described(name)
        click.echo(json.dumps(shown, indent=2) if as_json else _text(shown), nl=as_json)
        return
    found = installed("workflow")
    if as_json:
        listed = [
            {"name": p.name, "distribution": p.distribution, "summary": p.summary} for p in found
        ]
        click.echo(json.dumps(listed, indent=2))
    elif found:
        rows = [(p.name, p.distribution, p.summary) for p in found]
        click.echo(table([("name", "distribution", "summary"), *rows]), nl=False)
    else:
        click.echo("No workflows are installed. Try: pip install flk-workflow-fedavg")


def _described(name: str) -> dict[str, Any]:
    import inspect

    from flk.registry import load

    workflow = load("workflow", name)
    parameters = []
    for parameter in inspect.signature(workflow).parameters.values():
        optional = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        required = parameter.default is parameter.empty and not optional
        default = None if required or optional else repr(parameter.default)
        parameters.append(
            {
                "name": str(parameter).partition(":")[0].partition("=")[0].strip(),
                "required": required,
                "default": default,
            }
        )
    return {
        "name": name,
        "summary": find("workflow", name).summary,
        "parameters": parameters,
        "site_functions": list(workflow.calls),
    }


def _text(shown: dict[str, Any]) -> str:
    blocks = [f"flk.workflow.{shown['name']}: {shown['summary']}\n"]
    rows = [
        (p["name"], "required" if p["required"] else p["default"] or "")
        for p in shown["parameters"]
    ]
    if rows:
        blocks.append("Parameters\n" + table([(f"  {name}", value) for name, value in rows]))
    functions = shown["site_functions"]
    if functions:
        blocks.append("The site code exports\n" + "".join(f"  {f}()\n" for f in functions))
    return "\n".join(blocks)
