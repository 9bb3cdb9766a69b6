"""Contract of the role *environment*: where a recipe runs. In-process threads, local processes, a
real federation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flk.job import Recipe, Run

__all__ = ["Environment"]


class Environment(ABC):
    """Created by the user with its own options; used by one recipe after another, from one thread
    at a time.

    Creating one starts nothing and needs no network: what is wrong with the options raises
    UsageError at once.
    """

    @abstractmethod
    def deploy(self, recipe: Recipe) -> Run:
        """Start one execution of the recipe and return at once; what the recipe lacks (fewer sites
        than `min_clients`, a missing plugin) raises here, before anything runs. The Run tells all
        that follows."""

    @abstractmethod
    def stop(self) -> None:
        """End what `deploy` started and release it; runs still going end as `aborted`. Idempotent;
        an environment that did not start its processes leaves them alone."""
