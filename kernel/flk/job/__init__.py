"""What a user submits and what becomes of it: recipe, run, rounds and their checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flk._lazy import attach

if TYPE_CHECKING:
    from flk.job.checkpoints import *
    from flk.job.execution import *
    from flk.job.load import *
    from flk.job.recipe import *
    from flk.job.rounds import *
    from flk.job.run import *

_MODULES = {
    "checkpoints": "CheckpointManager",
    "execution": "Execution",
    "load": "load_recipe",
    "recipe": "Recipe",
    "rounds": "Round Rounds commit committed rounds",
    "run": "LogLine Run",
}
__all__, __getattr__ = attach(__name__, _MODULES)
