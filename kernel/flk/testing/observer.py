"""What every observer must bear: whole runs, failed ones, ones of which it saw only a part, and
strange values in them."""

from __future__ import annotations

import contextlib
import io
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from flk.registry.bus import Bus, heard
from flk.spi.records import Fact, Metric, RunRecord
from flk.world import RealWorld

__all__ = ["ObserverSuite"]

Event = tuple[str, dict[str, Any]]


class ObserverSuite(ABC):
    """Override `make`. What the observer is for is tested by its author."""

    patience = 5.0
    """Seconds a call may take."""

    @abstractmethod
    def make(self) -> object:
        """A new listener, as the kernel makes one: of the registered class, without arguments."""

    def test_its_hooks_exist_and_take_known_arguments(self) -> None:
        assert heard(self.make(), "observer"), "no method is marked with flk.hooks.impl"

    def test_it_bears_a_completed_run(self) -> None:
        self._tell(story("completed"))

    def test_it_bears_a_failed_run(self) -> None:
        self._tell(story("failed", error="site-1 did not answer"))

    def test_it_bears_an_aborted_run(self) -> None:
        self._tell(story("aborted", error="Ctrl-C"))

    def test_it_bears_a_run_of_which_it_missed_the_beginning(self) -> None:
        """A slow listener loses the oldest events."""
        events = list(story("completed"))
        for first in range(1, len(events)):
            self._tell(events[first:])

    def test_it_bears_a_run_that_ends_early(self) -> None:
        events = list(story("completed"))
        self._tell([events[0], events[-1]])

    def test_it_bears_a_run_without_rounds_or_sites(self) -> None:
        run = a_run(sites=())
        self._tell(
            [
                ("flk_on_run_started", {"run": run}),
                ("flk_on_round_started", {"run": run, "number": 0, "total": 0}),
                ("flk_on_call_started", {"run": run, "function": "f", "sites": ()}),
                (
                    "flk_on_run_finished",
                    {"run": run, "status": "completed", "error": "", "seconds": 0.0},
                ),
            ]
        )

    def test_one_instance_bears_two_runs(self) -> None:
        self._tell([*story("completed"), *story("failed", error="no", identity="second")])

    def test_two_instances_do_not_disturb_each_other(self) -> None:
        first, second = self._calls(self.make()), self._calls(self.make())
        for hook, kwargs in story("completed"):
            first(hook, kwargs)
            second(hook, kwargs)

    def test_events_return_nothing(self) -> None:
        call = self._calls(self.make())
        for hook, kwargs in story("completed"):
            assert not call(hook, kwargs), f"{hook} returned something"

    def test_it_changes_nothing_that_it_is_given(self) -> None:
        call = self._calls(self.make())
        for hook, kwargs in story("completed"):
            before = deepcopy(kwargs)
            call(hook, kwargs)
            assert repr(kwargs) == repr(before), f"{hook} changed its arguments"

    def test_it_leaves_stdout_to_the_command(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            self._tell(story("completed"))
        assert stdout.getvalue() == ""

    def test_steps_answer_true_or_a_sentence(self) -> None:
        calls = heard(self.make(), "observer")
        for hook in calls:
            if not hook.startswith("flk_on_"):
                (answer,) = calls[hook](run=a_run()) or (None,)
                assert answer is True or (isinstance(answer, str) and answer.strip()), (
                    f"{hook} answered {answer!r}"
                )

    def test_no_call_takes_long(self) -> None:
        world = RealWorld()
        bus = Bus(world, lambda failure: None, patience=self.patience)
        try:
            bus.register(self.make(), "observer")
            for hook, kwargs in story("completed"):
                bus.notify(hook, **kwargs)
            heard_all = bus.flush(60.0)
            assert not bus.failures, str(bus.failures[0])
            assert heard_all
        finally:
            bus.close(self.patience)
            world.close()

    def _tell(self, events: Any) -> None:
        call = self._calls(self.make())
        for hook, kwargs in events:
            call(hook, kwargs)

    def _calls(self, listener: object) -> Callable[[str, dict[str, Any]], Any]:
        calls = heard(listener, "observer")
        return lambda hook, kwargs: calls[hook](**kwargs) if hook in calls else None


def a_run(identity: str = "run-1", sites: tuple[str, ...] = ("site-1", "site-2")) -> RunRecord:
    """The record of a made-up run."""
    return RunRecord(
        id=identity,
        job="digits",
        environment="sim",
        sites=sites,
        folder=Path("runs/digits"),
        started=1_700_000_000.0,
        seed=0,
        config={"rounds": 2, "nested": {"names": ["a", "b"]}},
    )


def story(status: str, error: str = "", identity: str = "run-1") -> Iterator[Event]:
    """The events of a run of two rounds, in order."""
    run = a_run(identity)
    yield "flk_on_run_started", {"run": run}
    fact = Fact("labels", {"0": 12, "1": [1.5, None]}, "site-1", run.started)
    yield "flk_on_metrics", {"run": run, "records": [fact]}
    for number in range(2):
        yield "flk_on_round_started", {"run": run, "number": number, "total": 2}
        call = {"run": run, "function": "train"}
        yield "flk_on_call_started", call | {"sites": run.sites}
        answer = call | {"seconds": 0.5}
        yield "flk_on_site_answered", answer | {"site": "site-1", "error": ""}
        yield "flk_on_site_answered", answer | {"site": "site-2", "error": "out of memory [0/1]"}
        yield "flk_on_call_finished", answer | {"answered": 1, "failed": 1}
        values = (0.5, math.nan, math.inf, -1e300)
        records = [Metric("loss", v, "server", number, number, run.started) for v in values]
        yield "flk_on_metrics", {"run": run, "records": records}
        yield "flk_on_round_committed", {"run": run, "number": number}
    reason = "raised ValueError [red]"
    dropped = {"plugin": "other", "hook": "flk_on_metrics", "reason": reason}
    yield "flk_on_plugin_dropped", dropped
    yield "flk_on_run_finished", {"run": run, "status": status, "error": error, "seconds": 1.0}
