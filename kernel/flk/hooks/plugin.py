"""Hooks about plugins themselves."""

from __future__ import annotations

__all__ = ["flk_on_plugin_dropped"]


def flk_on_plugin_dropped(plugin: str, hook: str, reason: str) -> None:
    """A listener was dropped for the rest of the run. `plugin` is its entry-point name, `hook` the
    last call it failed in, `reason` a sentence."""
