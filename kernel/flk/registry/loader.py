"""Importing the one plugin that was asked for by name, and checking that it keeps the contract of
its role."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any

from stevedore.driver import DriverManager

from flk.errors import PluginContractError, PluginLoadError, described
from flk.registry.catalog import Plugin, find
from flk.spi import ROLES

__all__ = ["contract", "load", "load_many", "load_plugin"]


def load(role: str, name: str) -> Any:
    """The class (or click command, or observer) registered under a name; imported once.

    Raises what `flk.registry.find` raises, PluginLoadError if importing fails (the original error
    is the cause), PluginContractError if the object does not keep the role's contract.
    """
    return load_plugin(find(role, name))


def load_many(role: str, names: Iterable[str]) -> list[Any]:
    """`load` for several names, in their order."""
    return [load(role, name) for name in names]


@lru_cache(maxsize=256)
def load_plugin(plugin: Plugin) -> Any:
    """Import exactly this plugin, whose contract version the caller has checked."""
    try:
        found: Any = _Fresh(plugin).driver
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginLoadError(
            f"{plugin.role} {plugin.name!r} of {plugin.origin} failed to import: "
            f"{described(error)}",
            cure="Try: flk plugins doctor",
            owner=plugin.distribution,
        ) from error
    fault = _fault(contract(plugin.role), found)
    if fault:
        raise PluginContractError(
            f"{plugin.role} {plugin.name!r} of {plugin.origin} ({plugin.value}) {fault}",
            cure="Report it to its author",
            owner=plugin.distribution,
        )
    return found


@lru_cache(maxsize=64)
def contract(role: str) -> Any:
    """The ABC or protocol of a role that has a contract."""
    module, _, name = ROLES[role].contract.partition(":")
    return getattr(import_module(module), name)


class _Fresh(DriverManager[Any]):
    """stevedore's manager over the catalog's entry point instead of its cache on disk, which goes
    stale after an installation."""

    def __init__(self, plugin: Plugin) -> None:
        self._entry_point = EntryPoint(plugin.name, plugin.value, plugin.group)
        super().__init__(plugin.group, plugin.name)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry_point]


def _fault(wanted: Any, found: Any) -> str:
    """What is wrong with a plugin's object, as the end of a sentence; empty if nothing is."""
    if getattr(wanted, "_is_protocol", False):
        return "" if isinstance(found, wanted) else f"is no {wanted.__module__}.{wanted.__name__}"
    if not isinstance(found, type):
        return f"is not a class but a {type(found).__name__}"
    if not issubclass(found, wanted):
        return f"does not subclass {wanted.__module__}.{wanted.__name__}"
    if inspect.isabstract(found):
        members = ((name, getattr(found, name, None)) for name in dir(found))
        missing = ", ".join(n for n, m in members if getattr(m, "__isabstractmethod__", False))
        return f"lacks methods of {wanted.__module__}.{wanted.__name__}: {missing}"
    return ""
