"""Durable rounds: a loop whose state survives the death of the process. Storage is
`CheckpointManager`'s business."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flk.calls import trees
from flk.calls.context import RunScope, current
from flk.errors import RunAborted, UsageError

__all__ = ["Ledger", "Round", "Rounds", "commit", "committed", "rounds"]

_COMMITS = "commits"


class Ledger:
    """What a run has committed: for each loop its last round, its state and whether it was stopped.

    `save(version, loops)` makes it durable, where the run has a folder; `version` and `loops` are
    what was saved last. A commit that cannot be saved raises and leaves everything as before.
    """

    def __init__(
        self,
        scope: RunScope,
        save: Callable[[int, dict[str, Any]], None] | None = None,
        version: int = 0,
        loops: Mapping[str, Any] | None = None,
    ) -> None:
        self._scope = scope
        self._save = save
        self._version = version
        self._loops: dict[str, list[Any]] = dict(loops or {})
        self._opened = 0
        scope.rounds_done = sum(number + 1 for number, _, _ in self._loops.values())
        if _COMMITS in self._loops:
            scope.round = self._loops[_COMMITS][0] + 1

    def open(self) -> str:
        """The name of the next loop of the algorithm: a restarted one opens them in the same
        order."""
        self._opened += 1
        return f"loop-{self._opened}"

    def last(self, loop: str) -> tuple[int, dict[str, Any], bool]:
        """Number and state of the loop's last committed round (-1 and nothing if there is none),
        and whether it is the last of all."""
        number, state, stopped = self._loops.get(loop, (-1, {}, False))
        return number, state, stopped

    def commit(self, loop: str, number: int, state: dict[str, Any], stopped: bool = False) -> None:
        """Make it durable where the run has a folder; in memory otherwise. `state` is the ledger's
        from now on."""
        scope, loops = self._scope, {**self._loops, loop: [number, state, stopped]}
        if self._save is not None:
            self._save(self._version + 1, loops)
        scope.rounds_done += number - self.last(loop)[0]
        self._version += 1
        self._loops = loops
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
        """Make this round's state durable now; what is changed after it is not kept. The loop does
        it by itself when it asks for the next round."""
        if not self._committed:
            self._rounds._commit(self.number, trees.copy(self.state))
            self._committed = True

    def stop(self) -> None:
        """Let this be the last round: it is committed when the loop asks for the next one, and
        there is none."""
        self._rounds._stopped = True


class Rounds(Iterator[Round]):
    """See `rounds`."""

    def __init__(self, scope: RunScope, total: int, state: Mapping[str, Any]) -> None:
        self._scope = scope
        self._outer = scope.round
        self._ledger: Ledger = scope.ledger
        self._loop = self._ledger.open()
        self._total = total
        self._round: Round | None = None
        number, committed, self._stopped = self._ledger.last(self._loop)
        self._next = number + 1
        self._durable_stop = self._stopped
        self._state: dict[str, Any] = dict(state) if number < 0 else committed

    def __iter__(self) -> Rounds:
        return self

    def __next__(self) -> Round:
        scope = self._scope
        if self._round is not None:
            self._round.commit()
            if self._stopped and not self._durable_stop:
                self._commit(self._round.number, self._state)
            self._round = None
        if scope.aborted:
            raise RunAborted(scope.aborted)
        if self._stopped or self._next >= self._total:
            scope.round, scope.total_rounds = self._outer, None
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
        """The state of the last committed round, or the initial one. Yours to change once the loop
        is over."""
        return self._state

    def _commit(self, number: int, state: dict[str, Any]) -> None:
        self._ledger.commit(self._loop, number, state, self._stopped)
        self._durable_stop = self._stopped
        self._state = state
        self._next = number + 1


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
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise UsageError(f"flk.rounds({n!r}) needs a number of rounds")
    return Rounds(here._run, n, state or {})


def commit(state: Mapping[str, Any]) -> None:
    """Make the state of an asynchronous algorithm durable; each call counts as a round, so that
    `flk.rng()` goes on with it. Read it with `committed`."""
    here = current("commit")
    if here.site != "server":
        raise UsageError("flk.commit belongs to the server; a site keeps its own in flk.state")
    ledger: Ledger = here._run.ledger
    number = ledger.last(_COMMITS)[0] + 1
    ledger.commit(_COMMITS, number, trees.copy(dict(state)))
    if here._run.total_rounds is None:
        here._run.round = number + 1


def committed(default: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `commit` made durable last, in this process or in one before it; else `default`."""
    number, last, _ = current("committed")._run.ledger.last(_COMMITS)
    state: dict[str, Any] = trees.copy(dict(default or {}) if number < 0 else last)
    return state
