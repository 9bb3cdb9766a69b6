"""One call to one or many sites as a state machine: who was asked what, what came back, when it is
over.

No threads, no transport, no clock: dispatchers tell it outcomes, results read it. Every outcome is
accepted once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from flk.calls.context import RunScope
from flk.calls.options import CallOption
from flk.errors import (
    CallError,
    CallTimeout,
    Cancelled,
    ContributionRefused,
    QuorumError,
    RunAborted,
)

__all__ = ["MISSING", "Call", "Progress", "Spilled"]


_DEEPEST = 48
"""So many calls of sites may nest in one another."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()
"""Stands where a value has not arrived, failed or was handed over."""


class Spilled:
    """An answer that waits for its turn outside of memory."""

    __slots__ = ("load",)

    def __init__(self, load: Callable[[], Any]) -> None:
        self.load = load


class Progress:
    """How far a call is: `total = answered + failed + open`."""

    __slots__ = ("answered", "failed", "total")

    def __init__(self, total: int, answered: int, failed: int) -> None:
        self.total, self.answered, self.failed = total, answered, failed

    @property
    def open(self) -> int:
        return self.total - self.answered - self.failed

    def __repr__(self) -> str:
        return f"{self.answered} of {self.total} answered, {self.failed} failed"


class Call:
    """`targets[i]` is asked `function(*args, **kwargs)`; `values[i]` is its answer, or
    `failures[targets[i]]` says why not.

    With `consumer` set, each value is handed to it once, one at a time, in the order of `targets`
    (`ordered`) or of arrival, and dropped. `closed` when nothing more is accepted; `late` counts
    what came after.
    """

    __slots__ = (
        "_closing", "_consumer", "_consuming", "_defect", "_depth", "_first", "_keeps", "_lock",
        "_needed", "_open", "_settled", "_turn", "_waiters", "answered", "args", "arrived",
        "at_quorum", "caller", "cancelled", "close_at", "closed", "detached", "endless", "failures",
        "frozen", "function", "id", "kwargs", "late", "must_run", "nested", "on_answer", "option",
        "ordered", "quorum_at", "remembers", "round", "run", "single", "started", "targets",
        "values",
    )  # fmt: skip

    def __init__(
        self,
        run: RunScope,
        number: int,
        caller: str,
        round: int | None,
        targets: tuple[str, ...],
        function: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        option: CallOption,
        *,
        single: bool = False,
        nested: bool = False,
        detached: bool = False,
        ordered: bool = True,
    ) -> None:
        self.run = run
        self.id = f"{run.record.id}/{number}"
        self.caller = caller
        self.round = round
        self.targets = targets
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.option = option
        self.remembers = option.key is not None or option.retries > 0
        self.single = single
        self.nested = nested
        self.ordered = ordered
        self.started = run.world.now()
        self.values: list[Any] = [MISSING] * len(targets)
        self.failures: dict[str, CallError] = {}
        self.arrived: deque[int] = deque()
        self.answered = 0
        self.late = 0
        self.closed = not targets
        self.on_answer: Callable[[str, str], None] | None = None
        self.close_at: float | None = None
        """When the dispatcher's clock says that waiting is over."""
        self.cancelled = False
        self.at_quorum: Callable[[], Any] | None = None
        """Called once, when enough have answered."""
        self.quorum_at: float | None = None
        """When enough had answered, by the world's clock, where a `grace` begins with that."""
        self.must_run = False
        """Work of this call is begun even after an abort."""
        self.detached = detached
        """The caller goes on at once, and may change what it sent before that is used."""
        self.frozen = False
        """Arguments are a copy that nobody changes."""
        self._needed = option.needed(len(targets))
        self._settled = bytearray(len(targets))
        self._open = len(targets)
        self._turn = 0
        self._lock = threading.RLock()
        self._closing: list[Callable[[], Any]] = []
        self._waiters: list[Callable[[], None]] = []
        self._defect: BaseException | None = None
        self._consumer = option.callback
        self._consuming = False
        self._keeps = True
        self._first: Call | None = None
        self._depth = 0
        self.endless = ""

    def nest_in(self, outer: Call, site: str) -> None:
        """Say that code of a site that serves `outer` makes this call. Sites that call one another
        without end are stopped: where a chain grows too long, all that the first call led to fails.
        """
        first = self._first = outer._first or outer
        self._depth = outer._depth + 1
        if self._depth > _DEEPEST:
            first.endless = f"{site} calls {self.function}()"
        if first.endless:
            raise CallError(
                f"calls of sites to sites nest deeper than {_DEEPEST}: {first.endless}",
                site=site,
                function=self.function,
                may_have_run=False,
                cure="Does a function call itself at other sites? Pass on with expect_result=False",
            )

    # dispatchers ----------------------------------------------------------------------------------

    def succeed(self, index: int, value: Any) -> bool:
        """Accept the answer of `targets[index]`; False if the call is closed or had its outcome."""
        lock = self._lock
        lock.acquire()  # `with` costs twice as much, and this is done for each answer
        try:
            if self._settled[index]:  # all are, of a call that is closed
                self.late += 1
                return False
            self._settled[index] = 1
            self._open -= 1
            self.answered += 1
            if self._consumer is None:
                if self.at_quorum is not None:
                    self._look_for_quorum()  # before anybody can see the answer and go on
                self.values[index] = value
                self.arrived.append(index)
            elif self._turn == index and self.ordered and not self._consuming:
                self._turn = index + 1
                self._consuming = True
                self._hand_over(index, value)
                self._consuming = False
                if self.arrived:
                    self._consume()
            else:
                self.values[index] = value
                self.arrived.append(index)
                self._consume()
            if self.at_quorum is not None:
                self._look_for_quorum()
            if self._open == 0 or self.on_answer is not None or self._waiters:
                refusal = self.failures.get(self.targets[index])
                self._after(index, "" if refusal is None else str(refusal))
            return True
        finally:
            lock.release()

    def fail(self, index: int, error: CallError) -> bool:
        """Record why `targets[index]` has no answer; False if the call is closed or had its
        outcome."""
        with self._lock:
            if self._settled[index]:
                self.late += 1
                return False
            self._settled[index] = 1
            self._open -= 1
            self.failures[self.targets[index]] = error
            if not self.nested:
                self.run.failures.append(error)
            if self._consumer is not None:
                self._consume()
            self._after(index, str(error))
        return True

    def hands_over(self, index: int) -> bool:
        """Whether an answer would go at once to a consumer that does not keep it, so that nobody
        ever sees its memory again."""
        return not self._keeps and (not self.ordered or self._turn == index)

    def holds_back(self, index: int) -> bool:
        """Whether an answer has to wait for its turn while another one waits already: its memory
        is better kept elsewhere."""
        early = self.ordered and self._turn != index and len(self.arrived) > 0
        return not self._keeps and early

    def settled(self, index: int) -> bool:
        return bool(self._settled[index]) or self.closed

    @property
    def quorum_reached(self) -> bool:
        return self._needed > 0 and self.answered >= self._needed

    def expire(self) -> None:
        """The deadline, or the grace after the quorum, is over: the others count as too late."""
        for index in self._unsettled():
            self.fail(index, self.too_late(index))

    def too_late(self, index: int) -> CallError:
        """The error of a site that took too long."""
        site, function, option = self.targets[index], self.function, self.option
        if option.grace is not None and self.quorum_reached:
            what = f"{site} was not waited for: {self._needed} results were enough"
            return Cancelled(what, site=site, function=function)
        return CallTimeout(
            f"{site} did not answer {function}() within {option.patience or 0:g} s",
            site=site,
            function=function,
            cure="Give the call a longer timeout= or fewer min_results=",
        )

    def cancel(self, reason: str = "the call was cancelled") -> None:
        """Accept nothing more; sites that have not answered count as cancelled."""
        self.cancelled = True
        for index in self._unsettled():
            site = self.targets[index]
            self.fail(index, Cancelled(f"{site}: {reason}", site=site, function=self.function))

    # readers --------------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        with self._lock:
            return Progress(len(self.targets), self.answered, len(self.failures))

    def consume(self, consumer: Callable[[str, Any], Any], *, keeps: bool = True) -> None:
        """Hand every value to `consumer`, those that are here at once, the others as they arrive.
        One that does not keep them may be given memory that is the site's."""
        with self._lock:
            self._consumer = consumer
            self._keeps = keeps
            self._turn = 0
            self._consume()

    def take(self) -> tuple[str, Any] | None:
        """The next value in order of arrival, which is then dropped; None if none is here."""
        with self._lock:
            if not self.arrived:
                return None
            index = self.arrived.popleft()
            value, self.values[index] = self.values[index], MISSING
            return self.targets[index], value

    def refuse(self, site: str, error: CallError) -> None:
        """Count an answer that was accepted among the failures after all."""
        with self._lock:
            if site not in self.failures:
                self.failures[site] = error
                self.answered -= 1
                if not self.nested:
                    self.run.failures.append(error)
                if self.closed and self.on_answer is not None:
                    self.on_answer(site, str(error))

    def failures_in_order(self) -> dict[str, CallError]:
        """Site to error, in the order of the targets."""
        with self._lock:
            failed = self.failures
            return {site: failed[site] for site in self.targets if site in failed}

    def wait_for_change(self, wake: Callable[[], None]) -> bool:
        """Call `wake` once at the next outcome, from any thread; False if there will be none."""
        with self._lock:
            if self.closed:
                return False
            self._waiters.append(wake)
            return True

    def stir(self) -> None:
        """Let everybody who waits for a change look again."""
        if self._waiters:
            with self._lock:
                waiters, self._waiters = self._waiters, []
            for wake in waiters:
                wake()

    def at_close(self, hook: Callable[[], Any]) -> None:
        """Call `hook` once when the call closes, from any thread; at once if it is closed."""
        with self._lock:
            if not self.closed:
                self._closing.append(hook)
                return
        hook()

    def check(self) -> None:
        """Raise what the caller must know: an abort, an error of its own callback, a missed
        quorum."""
        if self._defect is not None:
            raise self._defect
        if self.run.aborted and self.failures:
            raise RunAborted(self.run.aborted)
        if self.answered < self._needed and not self.single:
            failures = self.failures_in_order()
            named = "; ".join(str(error.what) for error in list(failures.values())[:3])
            more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
            raise QuorumError(
                f"{self.function}() needed {self._needed} of {len(self.targets)} sites and got "
                f"{self.answered} ({named}{more})",
                failures=failures,
            )

    def only_value(self) -> Any:
        """The value of a single-site call, or its error."""
        self.check()
        site = self.targets[0]
        error = self.failures.get(site)
        if error is None:
            return self.values[0]
        if self.option.optional:
            return None
        raise error

    # inside, under the lock -----------------------------------------------------------------------

    def _unsettled(self) -> list[int]:
        with self._lock:
            return [] if self.closed else [i for i, done in enumerate(self._settled) if not done]

    def _look_for_quorum(self) -> None:
        hook = self.at_quorum
        if hook is not None and self.quorum_reached:
            self.at_quorum = None
            hook()

    def _consume(self) -> None:
        if self._consuming:  # by a consumer that cancels; the loop below goes on after it
            return
        self._consuming = True
        while self._defect is None and (index := self._next()) is not None:
            value, self.values[index] = self.values[index], MISSING
            self._hand_over(index, value)
        self._consuming = False

    def _hand_over(self, index: int, value: Any) -> None:
        consumer, site = self._consumer, self.targets[index]
        assert consumer is not None
        try:
            consumer(site, value.load() if type(value) is Spilled else value)
        except ContributionRefused as error:
            self.refuse(site, error)
        except BaseException as error:
            self._defect = error
            self.cancel("the callback of the call failed")

    def _next(self) -> int | None:
        """Take the index of the value whose turn it is from those that have arrived."""
        arrived, values, settled = self.arrived, self.values, self._settled
        if not self.ordered:
            return arrived.popleft() if arrived else None
        turn, total = self._turn, len(self.targets)
        while turn < total and settled[turn] and values[turn] is MISSING:
            turn += 1
        if turn == total or not settled[turn]:
            self._turn = turn
            return None
        self._turn = turn + 1
        if arrived[0] == turn:
            arrived.popleft()
        else:
            arrived.remove(turn)
        return turn

    def _after(self, index: int, error: str) -> None:
        if self.on_answer is not None:
            self.on_answer(self.targets[index], error)
        if self._open == 0:
            self.closed = True
            hooks, self._closing = self._closing, []
            for hook in hooks:
                hook()
        if self._waiters:
            self.stir()
