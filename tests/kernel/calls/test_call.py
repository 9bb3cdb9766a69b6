"""The state machine of a call, under any order of what may happen to it."""

from __future__ import annotations

from typing import Any

import pytest
from flk.calls.call import MISSING, Call
from flk.calls.context import RunScope
from flk.calls.options import CallOption
from flk.errors import CallError, ContributionRefused, QuorumError
from flk.spi.records import RunRecord
from flk.world import RealWorld
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule


def scope() -> RunScope:
    record = RunRecord("run", "job", "test", (), None, 0.0, seed=0)
    return RunScope(record, RealWorld())


def call_to(sites: int, ordered: bool = True, **options: Any) -> Call:
    names = tuple(f"site-{n}" for n in range(sites))
    option = CallOption(**options)
    return Call(scope(), 1, "server", None, names, "work", (), {}, option, ordered=ordered)


class Calls(RuleBasedStateMachine):
    """Answers, failures, cancels and expiries in any order, with or without a consumer that refuses
    some, raises at some and cancels at some."""

    @initialize(
        sites=st.integers(0, 6),
        ordered=st.booleans(),
        nasty=st.dictionaries(st.integers(0, 5), st.sampled_from(["refuse", "raise", "cancel"])),
        from_start=st.booleans(),
    )
    def begin(self, sites: int, ordered: bool, nasty: dict[int, str], from_start: bool) -> None:
        self.nasty = nasty
        self.consumed: list[int] = []
        self.inside = 0
        self.consumer = from_start
        self.accepted: dict[int, str] = {}
        self.taken: set[int] = set()
        self.closings = 0
        self.refused = 0
        options = {"callback": self.consume} if from_start else {}
        self.call = call_to(sites, ordered, **options)
        self.call.at_close(self.count_closing)

    def count_closing(self) -> None:
        self.closings += 1

    def consume(self, site: str, value: int) -> None:
        assert self.inside == 0, "two callbacks at a time"
        self.inside += 1
        try:
            assert site == f"site-{value}"
            self.consumed.append(value)
            what = self.nasty.get(value)
            if what == "refuse":
                self.refused += 1
                raise ContributionRefused("no", reason="type", site=site)
            if what == "raise":
                raise LookupError("mine")
            if what == "cancel":
                self.call.cancel()
        finally:
            self.inside -= 1

    @rule(index=st.integers(0, 5))
    def succeed(self, index: int) -> None:
        if index >= len(self.call.targets):
            return
        open_, late = not self.call.settled(index), self.call.late
        assert self.call.succeed(index, index) is open_
        assert self.call.late == late + (not open_)
        if open_:
            assert index not in self.accepted
            self.accepted[index] = "answer"

    @rule(index=st.integers(0, 5))
    def fail(self, index: int) -> None:
        if index >= len(self.call.targets):
            return
        open_ = not self.call.settled(index)
        error = CallError("no", site=f"site-{index}")
        assert self.call.fail(index, error) is open_
        if open_:
            self.accepted[index] = "failure"

    @rule()
    def cancel(self) -> None:
        self.call.cancel()
        assert self.call.closed

    @rule()
    def expire(self) -> None:
        self.call.expire()
        assert self.call.closed

    @precondition(lambda self: not self.consumer)
    @rule()
    def begin_to_consume(self) -> None:
        self.consumer = True
        self.call.consume(self.consume)

    @precondition(lambda self: not self.consumer)
    @rule()
    def take(self) -> None:
        taken = self.call.take()
        if taken is not None:
            site, value = taken
            assert site == f"site-{value}"
            assert value not in self.taken
            self.taken.add(value)

    @invariant()
    def counts_add_up(self) -> None:
        if not hasattr(self, "call"):
            return
        call, progress = self.call, self.call.progress
        assert progress.total == progress.answered + progress.failed + progress.open
        assert call.closed == (progress.open == 0)
        assert self.closings == int(call.closed)
        here = [v for v in call.values if v is not MISSING]
        assert len(here) == len(call.arrived)
        assert len(self.consumed) + len(self.taken) + len(here) == call.answered + self.refused

    @invariant()
    def each_value_is_consumed_once_and_in_order(self) -> None:
        if not hasattr(self, "call"):
            return
        assert len(set(self.consumed)) == len(self.consumed)
        assert not set(self.consumed) & self.taken
        if self.call.ordered:
            assert self.consumed == sorted(self.consumed)

    @invariant()
    def failures_are_in_site_order(self) -> None:
        if hasattr(self, "call"):
            names = list(self.call.failures_in_order())
            assert names == [name for name in self.call.targets if name in names]


TestCalls = Calls.TestCase


@given(order=st.permutations(range(6)))
def test_an_ordered_consumer_hears_sites_in_their_order_whatever_arrives_first(
    order: list[int],
) -> None:
    heard: list[Any] = []
    call = call_to(6, callback=lambda site, value: heard.append(value))
    for index in order:
        call.succeed(index, index)
    assert heard == list(range(6))


@given(order=st.permutations(range(4)))
def test_a_failed_site_does_not_hold_up_those_after_it(order: list[int]) -> None:
    heard: list[Any] = []
    call = call_to(4, callback=lambda site, value: heard.append(value))
    for index in order:
        if index == 1:
            call.fail(1, CallError("no", site="site-1"))
        else:
            call.succeed(index, index)
    assert heard == [0, 2, 3]


def test_an_empty_call_is_closed_from_the_start() -> None:
    call = call_to(0)
    assert call.closed
    call.check()
    assert call.wait_for_change(lambda: None) is False


def test_a_waiter_is_woken_once() -> None:
    call, woken = call_to(2), []
    assert call.wait_for_change(lambda: woken.append(1))
    call.succeed(0, "a")
    call.succeed(1, "b")
    assert woken == [1]


def test_a_hook_for_the_end_runs_at_once_after_it() -> None:
    call, ended = call_to(1), []
    call.succeed(0, "a")
    call.at_close(lambda: ended.append(1))
    assert ended == [1]


@pytest.mark.parametrize(
    ("needed", "answers", "enough"),
    [(None, 1, True), (None, 0, False), (3, 3, True), (3, 2, False), (0.5, 2, True),
     (0.5, 1, False),
     (0.6, 2, False), (1.0, 4, True), (1.0, 3, False), (0, 0, True), (5, 4, False)],
)  # fmt: skip
def test_the_quorum_is_a_count_or_a_share(needed: Any, answers: int, enough: bool) -> None:
    call = call_to(4, min_results=needed)
    for index in range(answers):
        call.succeed(index, index)
    call.cancel()
    if enough:
        call.check()
    else:
        with pytest.raises(QuorumError) as raised:
            call.check()
        assert len(raised.value.failures) == 4 - answers


def test_the_quorum_is_known_before_anybody_can_see_the_answer_that_reached_it() -> None:
    call, course = call_to(3, min_results=2, grace=0), []
    call.at_quorum = lambda: course.append(("quorum", len(call.arrived)))
    call.succeed(0, "first")
    call.wait_for_change(lambda: course.append(("woken", len(call.arrived))))
    call.succeed(1, "second")
    call.succeed(2, "third")
    assert course == [("quorum", 1), ("woken", 2)]


def test_an_answer_that_its_consumer_refuses_does_not_reach_the_quorum() -> None:
    def refuse_the_first(site: str, value: str) -> None:
        if value == "first":
            raise ContributionRefused("bad", reason="type", site=site)

    call, reached = call_to(2, min_results=1, callback=refuse_the_first), []
    call.at_quorum = lambda: reached.append(call.answered)
    call.succeed(0, "first")
    assert reached == []
    call.succeed(1, "second")
    assert reached == [1]
