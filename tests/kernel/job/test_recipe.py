"""Recipes: what is refused, what is found by itself, what settings reach whom."""

from __future__ import annotations

from typing import Any, ClassVar

import flk
import pytest
from flk.errors import ConfigError, UsageError
from flk.spi.workflow import Workflow
from flk.testing.collab import Algorithm, Helper, Site
from flk.testing.local import LocalEnv


@flk.algo
def here(rounds: int = 2, *, rate: float = 0.5) -> Any:
    return list(flk.clients.twice(rounds)), rate


@flk.collab
def twice(x: int) -> int:
    return 2 * x


def execute(recipe: flk.Recipe, sites: int = 2) -> Any:
    environment = LocalEnv(sites)
    try:
        return recipe.execute(environment).value()
    finally:
        environment.stop()


def test_functions_of_the_calling_module_are_found() -> None:
    assert execute(flk.Recipe("here", trackers=[])) == ([4, 4], 0.5)


def test_only_what_is_missing_is_looked_for() -> None:
    assert execute(flk.Recipe("here", client=Twenty, trackers=[])) == ([20, 20], 0.5)


class Twenty:
    @flk.collab
    def twice(self, x: int) -> int:
        return 20


def test_settings_fill_the_parameters_of_the_algorithm() -> None:
    recipe = flk.Recipe("here", config={"rounds": 5}, trackers=[])
    recipe.set({"rate": 0.1})
    assert execute(recipe) == ([10, 10], 0.1)


def test_an_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'rounds'"):
        flk.Recipe("here", trackers=[]).set({"round": 3})


def test_a_parameter_without_a_setting_is_refused_before_the_run() -> None:
    class Needs:
        @flk.algo
        def main(self, rate: float) -> None: ...

    with pytest.raises(ConfigError, match="rate"):
        execute(flk.Recipe("needs", Needs, Site, trackers=[]))


@pytest.mark.parametrize("name", ["", "a/b", "../x", "-a", "x" * 64, "a b", 3])
def test_a_name_is_a_word(name: Any) -> None:
    with pytest.raises(UsageError, match="job name"):
        flk.Recipe(name, Site, Site)


@pytest.mark.parametrize("count", [0, -1, "3", 1.5])
def test_min_clients_is_a_count(count: Any) -> None:
    with pytest.raises(UsageError, match="min_clients"):
        flk.Recipe("job", Site, Site, min_clients=count)


def test_sites_that_do_not_fit_are_refused() -> None:
    recipe = flk.Recipe("job", Algorithm(int), Site, min_clients=3, site_config={"x": {}})
    with pytest.raises(ConfigError, match="3 sites"):
        recipe.check_sites(["a", "b"])
    with pytest.raises(ConfigError, match="'x'"):
        recipe.check_sites(["a", "b", "c"])


def test_the_server_is_made_anew_for_each_run() -> None:
    class Counting:
        def __init__(self) -> None:
            self.count = 0

        @flk.algo
        def main(self) -> int:
            self.count += 1
            return self.count

    for server in (Counting, Counting(), lambda: Counting()):
        recipe = flk.Recipe("job", server, Site, trackers=[])
        assert [execute(recipe), execute(recipe)] == [1, 1]


def test_apps_bring_their_children() -> None:
    recipe = flk.Recipe(
        "job",
        Algorithm(lambda: flk.clients[0].child("helper").help(2)),
        flk.ClientApp(Site, {"helper": Helper}),
        trackers=[],
    )
    assert execute(recipe) == ["site-1", 4]


class Doubling(Workflow):
    calls: ClassVar[tuple[str, ...]] = ("twice",)

    def server(self) -> Any:
        return Algorithm(lambda: [flk.clients[0].twice(4), flk.clients[0].child("helper").help(1)])


def test_a_workflow_runs_around_the_users_code_and_its_children() -> None:
    client = flk.ClientApp(Twenty, {"helper": Helper})
    assert execute(flk.Recipe("job", Doubling(), client, trackers=[])) == [20, ["site-1", 2]]


def test_a_workflow_says_what_site_code_it_lacks() -> None:
    with pytest.raises(UsageError, match="twice"):
        execute(flk.Recipe("job", Doubling(), Site, trackers=[]))


def test_the_settings_of_a_recipe_cannot_be_changed_by_a_site() -> None:
    class Greedy:
        @flk.collab
        def grab(self) -> int:
            flk.props["list"].append(flk.site)
            return len(flk.props["list"])

    settings: dict[str, Any] = {"list": []}
    recipe = flk.Recipe(
        "job", Algorithm(lambda: list(flk.clients.grab())), Greedy, config=settings, trackers=[]
    )
    assert execute(recipe) == [1, 1]
    assert settings == {"list": []}
