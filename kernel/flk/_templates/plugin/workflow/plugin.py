"""Cyclic training: the model goes from site to site, each goes on where the last one stopped."""

from __future__ import annotations

from typing import Any, ClassVar

import flk
from flk.spi.workflow import Workflow

__all__ = ["AcmeWorkflow"]


class AcmeWorkflow(Workflow):
    """`start`: the weights to begin with. Sites export `train(weights)`, which returns weights."""

    calls: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(self, start: Any = 0.0, rounds: int = 1) -> None:
        self.start = start
        self.rounds = rounds

    def server(self) -> Any:
        return _Server(self.start, self.rounds)


class _Server:
    def __init__(self, start: Any, rounds: int) -> None:
        self._start = start
        self._rounds = rounds

    @flk.algo
    def cycle(self, rounds: int | None = None) -> Any:
        laps = flk.rounds(rounds or self._rounds, state={"weights": self._start})
        for lap in laps:
            for site in flk.clients:
                lap.state["weights"] = site.train(lap.state["weights"])
        return laps.state["weights"]
