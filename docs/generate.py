"""Writes docs/reference/ from the code: names for users, plugins, contracts, hooks, errors, limits
and the command line.

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
from types import FunctionType, ModuleType
from typing import Any

import flk
from flk import errors, hooks
from flk.spi import ROLES, Role

from tests import repo

__all__ = ["write"]


def write(folder: Path) -> None:
    """Write the pages; those that have not changed keep their time."""
    folder.mkdir(exist_ok=True)
    for make in (api, plugins, contracts, hook_pages, error_page, limits, cli):
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


def api() -> tuple[str, list[str]]:
    from flk.calls import here

    lines = ["# Names for users", "", prose(flk.__doc__), "", "## flk"]
    for name in flk.__all__:
        if name in here.__all__:
            function = getattr(here, name)
            told = str(inspect.signature(function).return_annotation)
            lines += ["", f"### `flk.{name}`", "", f"`{name}: {told}`", "", prose(function.__doc__)]
        elif isinstance(getattr(flk, name), type | FunctionType):
            lines += described(flk, name)
    for module in (flk.calls, flk.job):
        lines += ["", f"## {module.__name__}", "", prose(module.__doc__)]
        for name in sorted(set(module.__all__) - set(flk.__all__)):
            lines += described(module, name)
    return "api", lines


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
    """One public class or function of a module; a class with what it defines itself."""
    obj = getattr(module, name)
    yield ""
    yield f"### `{module.__name__}.{name}`"
    yield ""
    protocol = getattr(obj, "_is_protocol", False)
    constructed = inspect.isclass(obj) and "__init__" in vars(obj) and not protocol
    if inspect.isfunction(obj) or constructed:
        yield f"`{name}{signature(obj)}`"
        yield ""
    yield prose(obj.__doc__)
    if not inspect.isclass(obj):
        return
    for field, annotation, text in fields(obj):
        if text or not constructed:
            yield from term(f"{field}: {annotation}", text)
    for attribute, value in vars(obj).items():
        member = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if attribute.startswith("_"):
            continue
        if isinstance(member, property):
            returned = str(inspect.signature(member.fget).return_annotation)
            yield from term(f"{attribute}: {returned}", member.__doc__)
        elif inspect.isfunction(member):
            yield from term(f"{attribute}{signature(member)}", member.__doc__)


def term(code: str, docstring: str | None) -> Iterator[str]:
    """One entry of a definition list, or a line of code where there is nothing to say."""
    yield ""
    yield f"`{code}`"
    if docstring:
        yield f": {indented(prose(docstring))}"


def fields(cls: type) -> Iterator[tuple[str, str, str]]:
    """(name, annotation, text under it) of the attributes that a class declares."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
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
            lines += term(f"{name}{signature(function)}", function.__doc__)
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
        if not isinstance(error, type):
            continue
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
    """A docstring as Markdown: lines that explain a parameter become a list, indented examples
    code blocks."""
    text = inspect.cleandoc(docstring or "")
    text = re.sub(r"(?m)^([a-z_]+(?:, [a-z_]+)*): (?=\S)", r"* `\1`: ", text)
    return re.sub(r"(?<=\n\n)(?: {4}.*\n?|\n+(?= {4}))+", fenced, text)


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
