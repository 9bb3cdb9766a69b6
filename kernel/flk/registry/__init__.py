"""Plugins: what is installed (catalog), loading one by name (loader) or by type (families), telling
listeners what happens (bus), and finding out what is wrong (doctor).

The only package that imports stevedore and pluggy. Names are resolved at first use, so that listing
loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flk.registry.bus import Bus, Failure
    from flk.registry.catalog import Plugin, find, installed
    from flk.registry.courier import Courier
    from flk.registry.doctor import Diagnosis, examine, examine_all
    from flk.registry.families import family
    from flk.registry.loader import load, load_many

__all__ = [
    "Bus",
    "Courier",
    "Diagnosis",
    "Failure",
    "Plugin",
    "examine",
    "examine_all",
    "family",
    "find",
    "installed",
    "load",
    "load_many",
]

_HOMES = {
    "Bus": "bus",
    "Courier": "courier",
    "Diagnosis": "doctor",
    "Failure": "bus",
    "Plugin": "catalog",
    "examine": "doctor",
    "examine_all": "doctor",
    "family": "families",
    "find": "catalog",
    "installed": "catalog",
    "load": "loader",
    "load_many": "loader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flk.registry' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"flk.registry.{_HOMES[name]}"), name)
