"""The four marks that turn a function or method into part of a federation. They change nothing else
about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["algo", "collab", "final", "init", "mark_of"]

_F = TypeVar("_F", bound=Callable[..., Any])
_MARK = "__flk_mark__"


def algo(function: _F) -> _F:
    """The orchestration that runs once, at the server; its return value is the result of the run.

    Parameters are filled from the settings of the same name (`Recipe(config=...)`, `flk run
    --set`).
    """
    return _marked(function, "algo")


def collab(function: _F) -> _F:
    """May be called from other participants: `flk.clients.train(...)`, `flk.server.report(...)`.

    Plain function, coroutine function or generator (its caller then receives a stream). The caller
    waits for the return value; what it raises reaches the caller as `CallError`.
    """
    return _marked(function, "collab")


def init(function: _F) -> _F:
    """Runs once at each participant that has it, before the algorithm starts."""
    return _marked(function, "init")


def final(function: _F) -> _F:
    """Runs once at each participant that has it, after the algorithm ended in whatever way."""
    return _marked(function, "final")


def mark_of(value: Any) -> str:
    """`algo`, `collab`, `init`, `final`, or the empty string for anything unmarked."""
    mark = getattr(value, _MARK, "")
    return mark if isinstance(mark, str) else ""


def _marked(function: _F, mark: str) -> _F:
    if not callable(function):
        raise TypeError(f"@flk.{mark} marks a function or method, not {function!r}")
    setattr(function, _MARK, mark)
    return function
