"""Packages whose names are imported at first use, so that `import flk` costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["attach"]


def attach(package: str, modules: Mapping[str, str]) -> tuple[list[str], Callable[[str], Any]]:
    """`__all__` and `__getattr__` of a package, from its modules and the names in each."""
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return list(homes), __getattr__
