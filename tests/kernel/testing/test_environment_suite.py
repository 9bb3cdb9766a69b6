"""The suite of environments accepts what keeps the contract and names what does not."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flk.job import Recipe, Run
from flk.spi.environment import Environment
from flk.testing import failing
from flk.testing.environment import EnvironmentSuite
from flk.testing.local import LocalEnv


class TestLocalEnv(EnvironmentSuite):
    def make(self, sites: int = 3) -> Environment:
        return LocalEnv(sites)


class Patient(LocalEnv):
    def deploy(self, recipe: Recipe) -> Run:
        return super().deploy(recipe).wait()


class Generous(LocalEnv):
    """Runs with fewer sites than were asked for."""

    def deploy(self, recipe: Recipe) -> Run:
        recipe.min_clients = 1
        return super().deploy(recipe)


class Single(LocalEnv):
    def deploy(self, recipe: Recipe) -> Run:
        if self._runs:
            raise RuntimeError("one run only")
        return super().deploy(recipe)


class Forgetful(LocalEnv):
    def stop(self) -> None:
        self._runs.clear()


class Eager(LocalEnv):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate = threading.Event()
        threading.Thread(target=self.gate.wait, args=(5,), daemon=True).start()

    def stop(self) -> None:
        self.gate.set()
        super().stop()


class Careless(LocalEnv):
    """Every site sees what is meant for one."""

    def deploy(self, recipe: Recipe) -> Run:
        for settings in recipe.site_config.values():
            recipe.config.update(settings)
        return super().deploy(recipe)


class Rewriting(LocalEnv):
    """Takes back what was."""

    def stop(self) -> None:
        runs = list(self._runs)
        super().stop()
        for run in runs:
            run.status = "aborted"


class Fragile(LocalEnv):
    stopped = False

    def stop(self) -> None:
        assert not self.stopped
        self.stopped = True
        super().stop()


class Deaf(LocalEnv):
    def deploy(self, recipe: Recipe) -> Run:
        run = super().deploy(recipe)
        run._abort = lambda reason: None
        return run


class Unordered(LocalEnv):
    def __init__(self, num_clients: int) -> None:
        super().__init__(num_clients)
        self.sites = self.sites[::-1]


@pytest.mark.parametrize(
    ("environment", "test"),
    [
        (Patient, "test_deploy_returns_while_the_run_goes_on"),
        (Generous, "test_too_few_sites_are_refused_before_anything_runs"),
        (Single, "test_one_environment_runs_recipe_after_recipe"),
        (Forgetful, "test_stop_ends_what_is_going_on"),
        (Eager, "test_creation_starts_nothing"),
        (Careless, "test_settings_reach_everybody_and_those_of_a_site_only_that_site"),
        (Rewriting, "test_stop_leaves_a_run_that_has_ended_as_it_was"),
        (Fragile, "test_stop_twice_and_before_anything_is_no_error"),
        (Deaf, "test_an_abort_ends_the_run_in_good_order"),
        (Unordered, "test_a_run_tells_how_it_ended"),
    ],
)
def test_a_planted_fault_is_found_by_its_test(environment: type[LocalEnv], test: str) -> None:
    class Suite(EnvironmentSuite):
        def make(self, sites: int = 3) -> Environment:
            return environment(sites)

        def teardown_method(self) -> None:
            self.gate.set()
            for made in self._environments:
                LocalEnv.stop(made)  # type: ignore[arg-type]

    others = [n for n in dir(EnvironmentSuite) if n.startswith("test_") and n != test]
    one = type("One", (Suite,), dict.fromkeys(others, lambda self: None))
    assert list(failing(one)) == [test]
