"""Plugins: what is installed (catalog), loading one by name (loader) or by type (families), telling
listeners what happens (bus), and finding out what is wrong (doctor).

The only package that imports stevedore and pluggy. Names are resolved at first use, so that listing
loads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flk._lazy import attach

if TYPE_CHECKING:
    from flk.registry.bus import *
    from flk.registry.catalog import *
    from flk.registry.courier import *
    from flk.registry.doctor import *
    from flk.registry.families import *
    from flk.registry.loader import *

_MODULES = {
    "bus": "Bus Failure",
    "catalog": "Plugin find installed",
    "courier": "Courier",
    "doctor": "Diagnosis examine examine_all",
    "families": "family",
    "loader": "load load_many",
}
__all__, __getattr__ = attach(__name__, _MODULES)
