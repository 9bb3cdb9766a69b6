"""What a user submits and what becomes of it: recipe, run, rounds and their checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flk._lazy import attach

if TYPE_CHECKING:
    from flk.job.checkpoints import CheckpointManager as CheckpointManager
    from flk.job.execution import Execution as Execution
    from flk.job.load import load_recipe as load_recipe
    from flk.job.recipe import Recipe as Recipe
    from flk.job.rounds import (
        Round as Round,
    )
    from flk.job.rounds import (
        Rounds as Rounds,
    )
    from flk.job.rounds import (
        commit as commit,
    )
    from flk.job.rounds import (
        committed as committed,
    )
    from flk.job.rounds import (
        rounds as rounds,
    )
    from flk.job.run import LogLine as LogLine
    from flk.job.run import Run as Run

_HOMES = {
    "CheckpointManager": "checkpoints",
    "Execution": "execution",
    "LogLine": "run",
    "Recipe": "recipe",
    "Round": "rounds",
    "Rounds": "rounds",
    "Run": "run",
    "commit": "rounds",
    "committed": "rounds",
    "load_recipe": "load",
    "rounds": "rounds",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
