"""What a participant holds changes for nobody else, arrays and aggregators included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flk
import pytest
from flk.spi.aggregator import Aggregator
from flk.testing.collab import Algorithm
from flk.testing.fake_arrays import FakeArray, fake_arrays
from flk.testing.local import LocalEnv


@pytest.fixture(autouse=True)
def arrays() -> Iterator[None]:
    with fake_arrays():
        yield


class Keeper:
    @flk.collab
    def give(self, w: FakeArray) -> FakeArray:
        self.kept = w
        if flk.site != "site-1":
            flk.clients[0].spoil()
        return w

    @flk.collab
    def spoil(self) -> None:
        self.kept.set([9.0, 9.0])


class Collect(Aggregator):
    """Needs all contributions at the end."""

    capabilities = frozenset({"needs_all"})

    def init(self, reference: Any, *, max_norm: float) -> None:
        self.kept: list[Any] = []

    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        self.kept.append(contribution)

    def finish(self) -> Any:
        return [array.tolist() for array in self.kept]


def run(algo: Any, **options: Any) -> Any:
    environment = LocalEnv(3, **options)
    try:
        recipe = flk.Recipe("alias", Algorithm(algo), Keeper, trackers=[])
        return recipe.execute(environment).value()
    finally:
        environment.stop()


def test_an_array_that_a_site_keeps_and_changes_is_the_sites_own() -> None:
    def algo() -> Any:
        sent = FakeArray([1.0, 2.0])
        got = list(flk.clients.give(sent))
        sent.set([5.0, 5.0])
        return [array.tolist() for array in got]

    assert run(algo) == [[1.0, 2.0]] * 3


@pytest.mark.parametrize("blocking", [True, False])
def test_an_aggregator_that_keeps_contributions_keeps_copies(blocking: bool) -> None:
    def algo() -> Any:
        return flk.clients(blocking=blocking).give(FakeArray([1.0, 2.0])).reduce(Collect)

    assert run(algo) == [[1.0, 2.0]] * 3


def test_an_array_sent_by_an_open_call_may_be_changed_at_once() -> None:
    def algo() -> Any:
        sent = FakeArray([1.0, 2.0])
        results = flk.clients(blocking=False).give(sent)
        sent.set([5.0, 5.0])
        return [array.tolist() for array in results]

    assert run(algo) == [[1.0, 2.0]] * 3


def test_what_is_remembered_for_a_key_does_not_change() -> None:
    def algo() -> Any:
        first = flk.clients[0](key="a").give(FakeArray([1.0, 2.0]))
        flk.clients[0].spoil()
        again = flk.clients[0](key="a").give(FakeArray([0.0, 0.0]))
        return first.tolist(), again.tolist()

    assert run(algo) == ([1.0, 2.0], [1.0, 2.0])
