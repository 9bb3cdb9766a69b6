"""What others are told, as hook specifications by topic: plugin, job, round, metric, security.

Two kinds, told apart by name. *Events*, `flk_on_<what happened>`: every listener is told alone, on
the bus's thread; they return nothing. *Steps*, `flk_<verb>_<noun>`: called where the decision is
due; whatever goes wrong refuses. A plugin marks its methods with `impl`:

    from flk import hooks

    class Bell:
        @hooks.impl
        def flk_on_round_committed(self, run, number):
            print("\\a", end="")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["MARK", "TOPICS", "impl"]

_F = TypeVar("_F", bound=Callable[..., Any])

MARK = "__flk_hook__"
"""Attribute that `impl` leaves on a function."""

TOPICS = ("plugin", "job", "round", "metric", "security")
"""Modules of this package that hold specifications."""


def impl(function: _F) -> _F:
    """Mark a method as the implementation of the hook of its name; it may take any subset of the
    hook's arguments."""
    setattr(function, MARK, True)
    return function
