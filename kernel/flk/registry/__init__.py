"""Plugins: what is installed (catalog), loading one by name (loader) or by type (families), telling
listeners what happens (bus), and finding out what is wrong (doctor).

The only package that imports stevedore and pluggy. Names are resolved at first use, so that listing
loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flk._lazy import attach

if TYPE_CHECKING:
    from flk.registry.bus import Bus as Bus
    from flk.registry.bus import Failure as Failure
    from flk.registry.catalog import Plugin as Plugin
    from flk.registry.catalog import find as find
    from flk.registry.catalog import installed as installed
    from flk.registry.courier import Courier as Courier
    from flk.registry.doctor import Diagnosis as Diagnosis
    from flk.registry.doctor import examine as examine
    from flk.registry.doctor import examine_all as examine_all
    from flk.registry.families import family as family
    from flk.registry.loader import load as load
    from flk.registry.loader import load_many as load_many

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
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
