"""Contract of the role *workflow*: a ready-made algorithm in two halves, one for the server and one
for each site."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

__all__ = ["Workflow"]


class Workflow(ABC):
    """Given as `Recipe(server=flk.workflow.NAME(...))`. It is plain configuration until a run calls
    its halves.

    The halves are ordinary objects with `@flk.algo`, `@flk.collab`, `@flk.init` and `@flk.final`
    methods, so a workflow has no powers that a user's own code lacks, and runs in every
    environment. Its constructor takes only plain data, arrays and callables; it starts nothing. The
    state of the server half lives in `flk.rounds`, that of the site half in `flk.state`: both
    survive a crash, and a task names the state version it continues from.
    """

    calls: ClassVar[tuple[str, ...]] = ()
    """Functions the user's site code must export, checked before the run starts (`("train",)`)."""

    @abstractmethod
    def server(self) -> Any:
        """The server half: a new object with exactly one `@flk.algo` method. Its parameters are the
        settings that `flk run --set name=value` may change. Called once a run, at the server."""

    def client(self, user: Any) -> Any:
        """The site half around the user's site object or module `user`; by default the user's own.
        Called once a site, at the site."""
        return user
