"""Contract of the role *observer*: code that is told what happens, in every run, without being
asked for by name."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["Observer"]


@runtime_checkable
class Observer(Protocol):
    """Any object (or class that is called without arguments) with methods marked `@flk.hooks.impl`.

    Being installed is being enabled; `FLK_PLUGINS_DISABLE=name` turns one off. One whose attribute
    `idle` is true has nothing to do here (no terminal, say): it is not told anything, and a run
    does not pay for telling it. Hooks are plain functions. Those named `flk_on_<what happened>` are
    events: each observer is called from a thread of its own, one event after the other, while the
    run goes on; it returns nothing, must not change what it is given, and may block for a moment (a
    bounded queue loses the oldest events, so an observer may miss the beginning of a run). One that
    raises is reported by name and the others still hear; after 3 failures in a run, or 5 s in one
    call, it is dropped. Hooks named `flk_<verb>_<noun>` are steps: they decide while the caller
    waits, each in a new thread; one that raises, takes 5 s or answers nonsense refuses the step. An
    observer with steps is registered in the group `flk.deciders.v1` instead: what decides must
    load, or no run starts. Stdout belongs to the command that runs; an observer writes to stderr.
    """
