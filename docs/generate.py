"""Writes docs/reference/ from the code: plugins, contracts, hooks, errors, limits and the
command line.

Nothing in that folder is kept in version control, and nothing in it is written by hand.
Sphinx calls `write` before each build.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from flk import errors, hooks
from flk.spi import ROLES, Role

from tests import repo

__all__ = ["write"]


def write(folder: Path) -> None:
    """Write the pages; those that have not changed keep their time."""
    folder.mkdir(exist_ok=True)
    for make in (plugins, contracts, hook_pages, error_page, limits, cli):
        name, lines = make()
        text = "\n".join(lines) + "\n"
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def plugins() -> tuple[str, list[str]]:
    lines = [
        "# Plugins",
        "",
        "The distributions of this repository. `flk plugins` lists what is installed, theirs and "
        "others'.",
        "",
        "| role | name | distribution | what it is |",
        "| --- | --- | --- | --- |",
    ]
    rows = []
    for plugin in repo.plugins():
        for group, name, _ in plugin.entry_points:
            role = next(r.word for r in ROLES.values() if r.group == group)
            rows.append(f"| {role} | `{name}` | {plugin.name} | {plugin.project['description']} |")
    return "plugins", [*lines, *sorted(rows)]


def contracts() -> tuple[str, list[str]]:
    lines = ["# Contracts", "", "What a plugin of each role promises, and what it may rely on.", ""]
    lines += [
        "| role | entry-point group | distributions | contract |",
        "| --- | --- | --- | --- |",
    ]
    for role in ROLES.values():
        contract = f"[{role.word}](#{role.word})" if role.contract else "reserved"
        lines.append(f"| {role.word} | `{role.group}` | `{role.prefix}-*` | {contract} |")
    for role in ROLES.values():
        if role.contract:
            lines += ["", *contract_of(role)]
    return "contracts", lines


def contract_of(role: Role) -> Iterator[str]:
    module = importlib.import_module(role.contract.partition(":")[0])
    yield f"## {role.word}"
    yield ""
    yield prose(module.__doc__)
    for name in module.__all__:
        yield from described(module, name)


def described(module: ModuleType, name: str) -> Iterator[str]:
    """One public class or function of a module, with what it defines itself."""
    obj = getattr(module, name)
    yield ""
    if not inspect.isclass(obj):
        if callable(obj):
            yield f"### `{module.__name__}.{name}{signature(obj)}`"
            yield ""
            yield prose(obj.__doc__)
        else:
            yield f"### `{module.__name__}.{name}`"
        return
    yield f"### `{module.__name__}.{name}`"
    yield ""
    yield prose(obj.__doc__)
    for field, annotation, text in fields(obj):
        yield ""
        yield f"`{field}: {annotation}`"
        yield f": {indented(prose(text) or 'As its name says.')}"
    for attribute, value in vars(obj).items():
        if attribute.startswith("_"):
            continue
        member = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        member = member.fget if isinstance(member, property) else member
        if inspect.isfunction(member):
            yield ""
            yield f"`{attribute}{signature(member)}`"
            yield f": {indented(prose(member.__doc__) or 'As its name says.')}"


def fields(cls: type) -> Iterator[tuple[str, str, str]]:
    """(name, annotation, text under it) of the attributes that a class declares."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            text = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = str(after.value.value)
            yield ast.unparse(node.target), ast.unparse(node.annotation), text


def hook_pages() -> tuple[str, list[str]]:
    lines = ["# Hooks", "", prose(hooks.__doc__)]
    for topic in hooks.TOPICS:
        module = importlib.import_module(f"flk.hooks.{topic}")
        lines += ["", f"## {topic}", "", prose(module.__doc__)]
        for name in module.__all__:
            function = getattr(module, name)
            lines += ["", f"`{name}{signature(function)}`"]
            lines += [f": {indented(prose(function.__doc__))}"]
    return "hooks", lines


def error_page() -> tuple[str, list[str]]:
    lines = [
        "# Errors",
        "",
        prose(errors.__doc__),
        "",
        "A code is stable and may be compared; the text may change. `exit` is what the command "
        "line returns.",
        "",
        "| error | code | exit | is a | when |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in errors.__all__:
        error = getattr(errors, name)
        bases = ", ".join(base.__name__ for base in error.__bases__)
        when = cell(prose(vars(error).get("__doc__")))
        lines.append(f"| `{name}` | `{error.code}` | {error.exit_code} | {bases} | {when} |")
    return "errors", lines


def limits() -> tuple[str, list[str]]:
    from flk.calls import trees
    from flk.calls.guard import Guard
    from flk.registry import courier
    from flk.wire import Limits

    guard = inspect.signature(Guard).parameters
    queue = inspect.signature(courier.Courier).parameters
    one = Limits()
    rows: list[tuple[str, object, str]] = [
        ("message: bytes of its skeleton, all but the buffers", one.skeleton_bytes, "LimitError"),
        ("message: values in the skeleton", one.nodes, "LimitError"),
        ("message: values inside one another", one.depth, "LimitError"),
        ("message: number of buffers", one.buffers, "LimitError"),
        ("message: bytes of all buffers", one.buffer_bytes, "LimitError"),
        ("message: bytes that decoding allocates beyond them", one.extra_bytes, "LimitError"),
        ("model: containers inside one another", trees.MAX_DEPTH, "ContributionRefused"),
        ("contribution: L2 norm", guard["max_norm"].default, "ContributionRefused"),
        ("contribution: weight", guard["max_weight"].default, "ContributionRefused"),
        ("contribution: rounds it may be late", guard["staleness"].default, "ContributionRefused"),
        (
            "listener: events that wait for it",
            queue["limit"].default,
            "the oldest is lost, counted",
        ),
        ("listener: seconds for one call", queue["patience"].default, "it is dropped"),
        ("listener: failures in a run", courier.FAILURES, "it is dropped"),
    ]
    lines = ["# Limits", "", "What holds where nobody asked for another number.", ""]
    lines += ["| what | at most | beyond it |", "| --- | ---: | --- |"]
    lines += [f"| {what} | {number(value)} | {then} |" for what, value, then in rows]
    return "limits", lines


def cli() -> tuple[str, list[str]]:
    import click
    from flk.cli import root

    lines = ["# Command line", ""]

    def add(command: click.Command, context: click.Context, depth: int) -> None:
        lines.extend([f"{'#' * depth} `{context.command_path}`", ""])
        lines.extend(["```text", command.get_help(context).rstrip(), "```", ""])
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                if child is not None and not child.hidden:
                    inner = click.Context(child, parent=context, info_name=name, terminal_width=80)
                    add(child, inner, min(depth + 1, 4))

    add(root, click.Context(root, info_name="flk", terminal_width=80), 2)
    return "cli", lines


# text ---------------------------------------------------------------------------------------------


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: its indented examples become code blocks."""
    return re.sub(r"(?<=\n\n)(?: {4}.*\n?|\n+(?= {4}))+", fenced, inspect.cleandoc(docstring or ""))


def fenced(example: re.Match[str]) -> str:
    code = textwrap.dedent(example[0]).strip("\n")
    try:
        compile(code, "example", "exec")
    except SyntaxError:
        return f"```text\n{code}\n```\n"
    return f"```python\n{code}\n```\n"


def signature(function: Any) -> str:
    text = str(inspect.signature(function, eval_str=False)).replace("'", "")
    return re.sub(r"^\((self|cls)(, )?", "(", text)


def number(value: object) -> str:
    if isinstance(value, int):
        for power, unit in ((40, "Ti"), (30, "Gi"), (20, "Mi")):
            if value >= 1 << power and value % (1 << power) == 0:
                return f"{value >> power} {unit}"
        return f"{value:,}"
    return f"{value:g}"


def indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|")
