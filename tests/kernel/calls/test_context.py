"""Where code runs: random numbers of site and round, and memory of outcomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flk
import pytest
from flk.calls import Context, Participant, RunScope, entered
from flk.calls.app import App
from flk.errors import NotInRun
from flk.spi.records import RunRecord
from flk.world import RealWorld


def context(site: str = "site-1", seed: int = 1, round: int | None = 0) -> Context:
    scope = RunScope(RunRecord("run", "job", "test", (), None, 0.0, seed=seed), RealWorld())
    return Context(scope, Participant(site, App(object())), "server", round, call=object())


def drawn(where: Context, draw: Callable[[], Any] = lambda: flk.rng().random()) -> Any:
    with entered(where):
        return draw()


def test_random_numbers_differ_by_seed_site_and_round() -> None:
    places = [context(), context(seed=2), context("site-2"), context(round=1), context(round=None)]
    assert len({drawn(place) for place in places}) == 5
    assert len({drawn(place, flk.seed) for place in places}) == 5
    assert drawn(context()) == drawn(context())


def test_the_generator_goes_on_within_a_round() -> None:
    here = context()
    with entered(here):
        first, second = flk.rng().random(), flk.rng().random()
    assert first != second


def test_seeds_of_different_purposes_differ() -> None:
    with entered(context()):
        assert len({flk.seed(), flk.seed("a"), flk.seed("b"), flk.seed("a", 1)}) == 4
        assert flk.seed("a") == flk.seed("a")
        assert 0 <= flk.seed() < 2**63


def test_leaving_a_context_restores_the_one_around_it() -> None:
    with entered(context("site-1")):
        with entered(context("site-2")):
            assert flk.site == "site-2"
        assert flk.site == "site-1"
    with pytest.raises(NotInRun):
        _ = flk.site


@pytest.mark.parametrize(
    "name", ["clients", "server", "other_clients", "site", "caller", "props", "state", "context"]
)
def test_outside_a_run_every_name_says_so(name: str) -> None:
    assert not hasattr(flk, name)
    with pytest.raises(NotInRun, match=name):
        getattr(flk, name)


def test_a_participant_remembers_a_bounded_number_of_answers() -> None:
    participant = Participant("site-1", App(object()))
    for n in range(100):
        participant.remember(n, n)
    assert list(participant.answers) == list(range(100 - Participant.REMEMBERED, 100))


def test_settings_are_read_only() -> None:
    participant = Participant("site-1", App(object()), {"a": 1})
    with pytest.raises(TypeError):
        participant.props["a"] = 2  # type: ignore[index]
