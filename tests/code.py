"""How rules read code: which files are product code, how many lines they have, what they import and
call. Nothing is executed."""

from __future__ import annotations

import ast
import functools
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests import repo

__all__ = ["calls", "code_lines", "imports", "kernel_files", "plugin_files", "tree"]

KERNEL = repo.ROOT / "kernel" / "flk"
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def kernel_files(*, testing: bool = False) -> list[Path]:
    """Modules of the kernel; flk.testing is shipped beside it and only counted on request."""
    left_out = {"_templates"} if testing else {"_templates", "testing"}
    return [f for f in sorted(KERNEL.rglob("*.py")) if not left_out & set(f.parts)]


def plugin_files() -> list[Path]:
    return [f for p in repo.plugins() for f in sorted((p.folder / "src").rglob("*.py"))]


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor comment nor docstring; a string or statement over several
    lines counts each of them."""
    text = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree(path)):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported anywhere in the file, inside functions too; for
    `from a import b` it is `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)


def calls(path: Path) -> Iterator[tuple[int, str, dict[str, ast.expr]]]:
    """(line, dotted name as written, keyword arguments) of every call."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            keywords = {k.arg: k.value for k in node.keywords if k.arg}
            yield node.lineno, ast.unparse(node.func), keywords
