"""Contract of the role *observer*: code that is told what happens, in every run, without being
asked for by name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Observer"]


@runtime_checkable
class Observer(Protocol):
    """Any object (or class that is called without arguments) with methods marked `@flk.hooks.impl`.

    Being installed is being enabled; `FLK_PLUGINS_DISABLE=name` turns one off. Hooks named
    `flk_on_<what happened>` are events: called from the bus's own thread, one observer alone, in
    order; they return nothing, must not change what they are given, and may block for a moment. One
    that raises is reported by name and the others still hear; after 3 failures in a run, or 5 s in
    one call, it is dropped. Hooks named `flk_<verb>_<noun>` are steps: they run in the caller's
    thread and decide; one that raises, hangs or answers nonsense refuses the step.
    """
