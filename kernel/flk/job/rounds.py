"""Durable rounds: a loop whose state survives the death of the process. Storage is
`CheckpointManager`'s business."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flk.calls import trees
from flk.calls.context import RunScope, current
from flk.errors import UsageError

__all__ = ["Ledger", "Round", "Rounds", "commit", "committed", "rounds"]


class Ledger:
    """What a run has committed: for each loop its last round and state.

    `save(version, loops)` makes it durable, where the run has a folder; `restored` is what was
    saved last.
    """

    def __init__(
        self,
        scope: RunScope,
        save: Callable[[int, dict[str, Any]], None] | None = None,
        restored: tuple[int, dict[str, Any]] | None = None,
    ) -> None:
        self._scope = scope
        self._save = save
        self._version = 0
        self._loops: dict[str, tuple[int, dict[str, Any]]] = {}
        self._opened = 0
        if restored is not None:
            self._version, loops = restored
            self._loops = {name: (number, state) for name, (number, state) in loops.items()}
            scope.rounds_done = sum(number + 1 for number, _ in self._loops.values())

    def open(self) -> str:
        """The name of the next loop of the algorithm: a restarted one opens them in the same
        order."""
        self._opened += 1
        return f"loop-{self._opened}"

    def last(self, loop: str) -> tuple[int, dict[str, Any]] | None:
        return self._loops.get(loop)

    def commit(self, loop: str, number: int, state: dict[str, Any]) -> None:
        """Make it durable where the run has a folder; in memory otherwise."""
        self._loops[loop] = (number, state)
        self._version += 1
        scope = self._scope
        if self._save is not None:
            self._save(self._version, {name: list(last) for name, last in self._loops.items()})
        scope.rounds_done += 1
        if scope.listens("flk_on_round_committed"):
            scope.notify("flk_on_round_committed", run=scope.record, number=number)


class Round:
    """One turn of the loop. `number` counts from 0; `state` is a dict of this round's own, to be
    changed freely."""

    __slots__ = ("_committed", "_rounds", "number", "state")

    def __init__(self, rounds: Rounds, number: int, state: dict[str, Any]) -> None:
        self._rounds = rounds
        self._committed = False
        self.number = number
        self.state = state

    def commit(self) -> None:
        """Make this round's state durable now; the loop does it by itself when it asks for the next
        round."""
        if not self._committed:
            self._committed = True
            self._rounds._commit(self)

    def stop(self) -> None:
        """Let this be the last round: it is committed when the loop asks for the next one, and
        there is none."""
        self._rounds._stopped = True


class Rounds(Iterator[Round]):
    """See `rounds`."""

    def __init__(self, scope: RunScope, total: int, state: Mapping[str, Any]) -> None:
        self._scope = scope
        self._ledger: Ledger = scope.ledger
        self._loop = self._ledger.open()
        self._total = total
        self._stopped = False
        self._round: Round | None = None
        last = self._ledger.last(self._loop)
        self._next = 0 if last is None else last[0] + 1
        self._state: dict[str, Any] = dict(state) if last is None else last[1]

    def __iter__(self) -> Rounds:
        return self

    def __next__(self) -> Round:
        if self._round is not None:
            self._round.commit()
        scope = self._scope
        if self._stopped or self._next >= self._total:
            self._round = None
            scope.round = None
            raise StopIteration
        self._round = Round(self, self._next, trees.copy(self._state))
        scope.round, scope.total_rounds = self._next, self._total
        if scope.listens("flk_on_round_started"):
            scope.notify(
                "flk_on_round_started", run=scope.record, number=self._next, total=self._total
            )
        return self._round

    @property
    def state(self) -> dict[str, Any]:
        """The state of the last committed round, or the initial one."""
        return self._state

    def _commit(self, round: Round) -> None:
        self._state = round.state
        self._next = round.number + 1
        self._ledger.commit(self._loop, round.number, round.state)


def rounds(n: int, state: Mapping[str, Any] | None = None) -> Rounds:
    """A durable loop: `for r in flk.rounds(5, state={"weights": w}): ...`, at the server.

    A round is committed when the loop asks for the next one; `break` or an exception discards it,
    unless `r.commit()` was called. In a run with a folder, a process that is started again goes on
    after the last committed round; the initial `state` is then ignored. State is what the
    serializers carry: arrays, numbers, strings, containers.
    """
    here = current("rounds")
    if here.site != "server" or here._call is not None:
        raise UsageError("flk.rounds belongs into the @flk.algo function, at the server")
    if not isinstance(n, int) or n < 0:
        raise UsageError(f"flk.rounds({n!r}) needs a number of rounds")
    return Rounds(here._run, n, state or {})


def commit(state: Mapping[str, Any]) -> None:
    """Make the state of an asynchronous algorithm durable; each call counts as a round. Read it
    with `committed`."""
    here = current("commit")
    ledger: Ledger = here._run.ledger
    last = ledger.last("commits")
    ledger.commit("commits", 0 if last is None else last[0] + 1, trees.copy(dict(state)))


def committed(default: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `commit` made durable last, in this process or in one before it; else `default`."""
    last = current("committed")._run.ledger.last("commits")
    state: dict[str, Any] = trees.copy(dict(default or {}) if last is None else last[1])
    return state
