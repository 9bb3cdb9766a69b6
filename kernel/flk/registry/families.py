"""From the type of an object in hand to the plugin that handles its family of types. Nothing is
imported for types that never appear."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from flk.registry.catalog import installed
from flk.registry.loader import load

__all__ = ["family"]


@lru_cache(maxsize=4096)
def family(role: Literal["arrays", "serializer"], cls: type) -> Any | None:
    """An instance of the plugin of that role that handles instances of `cls`, or None if none is
    installed.

    Plugins are registered under top-level packages: the first base class that comes from such a
    package, and is or derives from one of the plugin's `types`, decides. Answers, None too, are
    kept while the process lives. A plugin that is broken raises as `flk.registry.load` does.
    """
    names = {plugin.name for plugin in installed(role)}
    for base in cls.__mro__:
        package = base.__module__.partition(".")[0]
        if package in names:
            plugin = _instance(role, package)
            if issubclass(cls, tuple(plugin.types)):
                return plugin
    return None


@lru_cache(maxsize=64)
def _instance(role: str, name: str) -> Any:
    return load(role, name)()
