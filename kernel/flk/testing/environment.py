"""The conformance suite of the role *environment*: how runs begin and end. What federated code may
count on there is `flk.testing.collab`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import flk
from flk.errors import UsageError
from flk.job import Run
from flk.spi.environment import Environment
from flk.testing.collab import Algorithm, Site

__all__ = ["EnvironmentSuite"]

DEADLINE = 30.0
"""Seconds until a run counts as hanging."""


class EnvironmentSuite:
    """Override `make`. The algorithms of the suite run in the process of the test."""

    def make(self, sites: int = 3) -> Environment:
        """A new environment of `sites` sites called `site-1` to `site-N`."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self._environments: list[Environment] = []
        self.gate = threading.Event()

    def teardown_method(self) -> None:
        self.gate.set()
        for environment in self._environments:
            environment.stop()

    def made(self, num_clients: int = 2) -> Environment:
        environment = self.make(num_clients)
        self._environments.append(environment)
        return environment

    def recipe(self, algo: Callable[..., Any] | Algorithm, **options: Any) -> flk.Recipe:
        server = algo if isinstance(algo, Algorithm) else Algorithm(algo)
        return flk.Recipe("suite", server, options.pop("client", Site), trackers=[], **options)

    def ended(self, run: Run) -> Run:
        run.wait(DEADLINE)
        assert run.done, "the run does not end"
        return run

    def wait_here(self) -> str:
        assert self.gate.wait(DEADLINE)
        return "well"

    def test_a_run_tells_how_it_ended(self) -> None:
        run = self.ended(self.made().deploy(self.recipe(lambda: list(flk.clients.number()))))
        assert (run.status, run.result, run.error) == ("completed", [1.0, 2.0], None)
        assert tuple(run.sites) == ("site-1", "site-2")
        assert run.record.job == "suite"
        assert run.seconds > 0
        assert run.value() == [1.0, 2.0]

    def test_a_run_that_fails_says_why(self) -> None:
        def fail() -> None:
            raise LookupError("my mistake")

        run = self.ended(self.made().deploy(self.recipe(fail)))
        assert run.status == "failed"
        assert isinstance(run.error, LookupError)
        assert run.result is None

    def test_deploy_returns_while_the_run_goes_on(self) -> None:
        runs: list[Run] = []
        environment, recipe = self.made(), self.recipe(self.wait_here)
        returned = threading.Event()

        def deploy() -> None:
            runs.append(environment.deploy(recipe))
            returned.set()

        threading.Thread(target=deploy, daemon=True).start()
        assert returned.wait(DEADLINE / 10), "deploy waits for the run"
        run = runs[0]
        assert (run.status, run.done) == ("running", False)
        run.wait(0.01)
        assert not run.done
        self.gate.set()
        assert self.ended(run).result == "well"

    def test_an_abort_ends_the_run_in_good_order(self) -> None:
        reached = threading.Event()

        def algo() -> None:
            reached.set()
            self.wait_here()
            flk.clients.number()

        server = Algorithm(algo)
        run = self.made().deploy(self.recipe(server))
        assert reached.wait(DEADLINE)
        run.abort("enough")
        self.gate.set()
        assert self.ended(run).status == "aborted"
        assert "enough" in str(run.error)
        assert server.ended == 1, "final of the server did not run once"

    def test_too_few_sites_are_refused_before_anything_runs(self) -> None:
        ran = threading.Event()
        with pytest.raises(UsageError, match="3"):
            self.made(2).deploy(self.recipe(ran.set, min_clients=3))
        assert not ran.is_set()

    def test_a_recipe_that_lacks_something_is_refused_by_deploy(self) -> None:
        with pytest.raises(UsageError, match="algo"):
            self.made().deploy(flk.Recipe("suite", Site, Site, trackers=[]))

    def test_one_environment_runs_recipe_after_recipe(self) -> None:
        environment = self.made()
        runs = []
        for _ in range(2):
            run = environment.deploy(self.recipe(lambda: list(flk.clients.tick())))
            runs.append(self.ended(run))
        assert [run.result for run in runs] == [[1, 1], [1, 1]]
        assert len({run.id for run in runs}) == 2

    def test_stop_ends_what_is_going_on(self) -> None:
        environment = self.made()
        run = environment.deploy(self.recipe(self.wait_here_then_call))
        threading.Timer(0.05, self.gate.set).start()
        environment.stop()
        assert run.status == "aborted"

    def wait_here_then_call(self) -> None:
        self.wait_here()
        flk.clients.number()

    def test_stop_twice_and_before_anything_is_no_error(self) -> None:
        environment = self.made()
        environment.stop()
        environment.stop()

    def test_stop_leaves_a_run_that_has_ended_as_it_was(self) -> None:
        environment = self.made()
        run = self.ended(environment.deploy(self.recipe(lambda: 7)))
        environment.stop()
        assert (run.status, run.result) == ("completed", 7)

    def test_creation_starts_nothing(self) -> None:
        before = set(threading.enumerate())
        self.made()
        assert set(threading.enumerate()) <= before

    def test_settings_reach_everybody_and_those_of_a_site_only_that_site(self) -> None:
        recipe = self.recipe(
            lambda: (flk.props["a"], list(flk.clients.prop("a")), list(flk.clients.prop("b"))),
            config={"a": 1},
            site_config={"site-2": {"b": 2}},
        )
        assert self.ended(self.made().deploy(recipe)).result == (1, [1, 1], [None, 2])

    def test_a_site_that_is_not_there_cannot_be_configured(self) -> None:
        recipe = self.recipe(lambda: 1, site_config={"site-99": {"b": 2}})
        with pytest.raises(UsageError, match="site-99"):
            self.made().deploy(recipe)
