"""The suite of workflows accepts what keeps the contract and names what does not."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import flk
import pytest
from flk.spi.workflow import Workflow
from flk.testing import failing
from flk.testing.collab import Mean
from flk.testing.workflow import WorkflowSuite


class Averaging(Workflow):
    calls: ClassVar[tuple[str, ...]] = ("train",)

    def __init__(self, rounds: int = 3) -> None:
        self.rounds = rounds

    def server(self) -> Any:
        return Server(self.rounds)


class Server:
    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    @flk.algo
    def average(self, start: float = 0.0) -> Any:
        rounds = flk.rounds(self.rounds, state={"x": start})
        for r in rounds:
            r.state["x"] = flk.clients.train(r.state["x"]).reduce(Mean) + flk.rng().random()
        return rounds.state["x"]


class TestAveraging(WorkflowSuite):
    capabilities: ClassVar[frozenset[str]] = frozenset({"durable", "tolerant"})

    def make(self) -> Workflow:
        return Averaging()


class Reused(Averaging):
    """One server half for all runs."""

    def __init__(self) -> None:
        super().__init__()
        self.half = Server(3)

    def server(self) -> Any:
        return self.half


class Headless(Averaging):
    def server(self) -> Any:
        return object()


class Demanding(Averaging):
    def server(self) -> Any:
        return DemandingServer(3)


class DemandingServer(Server):
    @flk.algo
    def average(self, start: float) -> Any:
        return start


class Shared(Averaging):
    """One site half for all sites."""

    half: ClassVar[Any] = None

    def client(self, user: Any) -> Any:
        type(self).half = type(self).half or user
        return self.half


class Promising(Averaging):
    calls: ClassVar[tuple[str, ...]] = ("train", "evaluate")


class Silent(Averaging):
    """Does not say what it calls."""

    def client(self, user: Any) -> Any:
        return Any_()


class Any_:
    @flk.collab
    def train(self, x: float) -> float:
        return x


class Volatile(Averaging):
    def server(self) -> Any:
        return VolatileServer(3)


class VolatileServer(Server):
    @flk.algo
    def average(self, start: float = 0.0) -> Any:
        for _ in range(3):
            start = flk.clients.train(start).reduce(Mean)
        return start


class Lively(Averaging):
    def __init__(self) -> None:
        super().__init__()
        gate = threading.Event()
        threading.Thread(target=gate.wait, args=(1,), daemon=True).start()


class Uncopyable(Averaging):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Strict(Averaging):
    def server(self) -> Any:
        return StrictServer(3)


class StrictServer(Server):
    @flk.algo
    def average(self, start: float = 0.0) -> Any:
        for r in flk.rounds(3):
            flk.clients(min_results=1.0).train(float(r.number))


class Remembering(Averaging):
    """A run sees what another left."""

    def server(self) -> Any:
        self.rounds += 1
        return super().server()


@pytest.mark.parametrize(
    ("workflow", "test"),
    [
        (Reused, "test_the_server_half_is_a_new_object_with_one_algorithm"),
        (Headless, "test_the_server_half_is_a_new_object_with_one_algorithm"),
        (Demanding, "test_each_setting_of_the_algorithm_has_a_default"),
        (Shared, "test_the_site_half_is_one_a_site"),
        (Promising, "test_what_it_calls_is_exported_by_its_site_half"),
        (Silent, "test_site_code_that_lacks_a_function_is_refused_before_anything_runs"),
        (Volatile, "test_a_run_that_died_goes_on_and_ends_with_the_same_result"),
        (Lively, "test_creation_starts_nothing"),
        (Uncopyable, "test_it_is_plain_configuration_that_can_be_copied"),
        (Strict, "test_a_site_that_fails_does_not_end_the_run"),
        (Remembering, "test_one_workflow_serves_run_after_run"),
    ],
)
def test_a_planted_fault_is_found_by_its_test(workflow: type[Workflow], test: str) -> None:
    class Suite(TestAveraging):
        def make(self) -> Workflow:
            return workflow()

    assert test in failing(Suite)
