"""The installed plugins of one role as attributes: `flk.env.sim`, `flk.workflow.fedavg`."""

from __future__ import annotations

from typing import Any

from flk.registry.catalog import installed
from flk.registry.loader import load

__all__ = ["Named"]


class Named:
    """`named.NAME` is the class of that plugin, imported at first use; `dir(named)` lists without
    importing."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return load(self._role, name)

    def __dir__(self) -> list[str]:
        return sorted({plugin.name for plugin in installed(self._role)})

    def __repr__(self) -> str:
        return f"<{self._role} plugins: {', '.join(dir(self)) or 'none installed'}>"
