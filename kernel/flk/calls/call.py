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

__all__ = ["MISSING", "Call", "Progress"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()
"""Stands where a value has not arrived, failed or was handed over."""


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
        self.closing: list[Callable[[], Any]] = []
        self.close_at: float | None = None
        """When the dispatcher's clock says that waiting is over."""
        self.cancelled = False
        self.must_run = False
        """Work of this call is begun even after an abort."""
        self._needed = option.needed(len(targets))
        self._settled = bytearray(len(targets))
        self._open = len(targets)
        self._turn = 0
        self._lock = threading.RLock()
        self._waiters: list[Callable[[], None]] = []
        self._defect: BaseException | None = None
        self._consumer = option.callback

    # dispatchers ----------------------------------------------------------------------------------

    def succeed(self, index: int, value: Any) -> bool:
        """Accept the answer of `targets[index]`; False if the call is closed or had its outcome."""
        with self._lock:
            if self.closed or self._settled[index]:
                self.late += 1
                return False
            self._settled[index] = 1
            self._open -= 1
            self.answered += 1
            self.values[index] = value
            self.arrived.append(index)
            if self._consumer is not None:
                self._consume()
            self._after(index, "")
        return True

    def fail(self, index: int, error: CallError) -> bool:
        """Record why `targets[index]` has no answer; False if the call is closed or had its
        outcome."""
        with self._lock:
            if self.closed or self._settled[index]:
                self.late += 1
                return False
            self._settled[index] = 1
            self._open -= 1
            self.failures[self.targets[index]] = error
            if self._consumer is not None:
                self._consume()
            self._after(index, str(error))
        return True

    def hands_over(self, index: int) -> bool:
        """Whether an answer would go to the consumer at once, so that nobody else ever sees its
        memory."""
        return self._consumer is not None and (not self.ordered or self._turn == index)

    def settled(self, index: int) -> bool:
        return bool(self._settled[index]) or self.closed

    @property
    def quorum_reached(self) -> bool:
        return self._needed > 0 and self.answered >= self._needed

    def expire(self) -> None:
        """The deadline, or the grace after the quorum, is over: the others count as too late."""
        enough = self.quorum_reached and self.option.grace is not None
        for index in self._unsettled():
            site = self.targets[index]
            if enough:
                what = f"{site} was not waited for: {self._needed} results were enough"
                self.fail(index, Cancelled(what, site=site, function=self.function))
            else:
                self.fail(index, self.overdue(index))

    def overdue(self, index: int) -> CallTimeout:
        """The error of a site that took too long."""
        site = self.targets[index]
        return CallTimeout(
            f"{site} did not answer {self.function}() within {self.option.timeout:g} s",
            site=site,
            function=self.function,
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

    def consume(self, consumer: Callable[[str, Any], Any]) -> None:
        """Hand every value to `consumer`, those that are here at once, the others as they
        arrive."""
        with self._lock:
            self._consumer = consumer
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

    def _consume(self) -> None:
        consumer = self._consumer
        assert consumer is not None
        while self._defect is None:
            if self.ordered:
                while (
                    self._turn < len(self.targets)
                    and self._settled[self._turn]
                    and (self.values[self._turn] is MISSING)
                ):
                    self._turn += 1
                if self._turn >= len(self.targets) or not self._settled[self._turn]:
                    return
                index = self._turn
                self._turn += 1
            else:
                if not self.arrived:
                    return
                index = self.arrived[0]
            self.arrived.remove(index) if self.arrived[0] != index else self.arrived.popleft()
            value, self.values[index] = self.values[index], MISSING
            site = self.targets[index]
            try:
                consumer(site, value)
            except ContributionRefused as error:
                self.refuse(site, error)
            except BaseException as error:
                self._defect = error
                self.cancel("the callback of the call failed")

    def _after(self, index: int, error: str) -> None:
        if self.on_answer is not None:
            self.on_answer(self.targets[index], error)
        if self._open == 0:
            self.closed = True
            for hook in self.closing:
                hook()
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for wake in waiters:
                wake()
