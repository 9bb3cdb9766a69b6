"""The ring: who calls whom, and what the model has learned on its way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import flk
import numpy as np
import pytest
from flk.job import load_recipe

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def recipe() -> flk.Recipe:
    return load_recipe(str(HERE))


@pytest.fixture
def module(recipe) -> Any:
    return sys.modules[recipe.client.__module__]


def run(recipe: flk.Recipe, **env: Any) -> Any:
    done = recipe.execute(flk.env.sim(num_clients=4, seed=0, **env))
    assert done.status == "completed", done.error
    return done


def test_each_site_is_called_by_its_predecessor_and_only_the_first_by_the_server(recipe) -> None:
    way = run(recipe).result["way"]
    callers, called = zip(*way, strict=True)
    assert callers == ("server", *called[:-1])
    assert sorted(called) == ["site-1", "site-2", "site-3", "site-4"]


def test_the_model_is_what_one_site_after_the_other_makes_of_it(recipe, module) -> None:
    recipe.set({"rounds": 1})
    result = run(recipe).result
    weights = np.zeros((65, 10))
    for _, site in result["way"]:
        weights = module.train(weights, *module.site_data(int(site[5:]) - 1, 4))
    assert np.array_equal(result["weights"], weights)


def test_after_three_laps_it_knows_the_digits_of_every_site(recipe, module) -> None:
    weights = run(recipe).result["weights"]
    for site in range(4):
        assert module.accuracy(weights, *module.site_data(site, 4)) > 0.92


def test_what_travels_can_be_sent(recipe) -> None:
    assert np.array_equal(run(recipe, strict=True).result["weights"], run(recipe).result["weights"])


def test_a_site_that_breaks_the_ring_is_named(recipe) -> None:
    done = recipe.execute(flk.env.sim(num_clients=4, faults={"site-3": {"drop": 1}}))
    assert done.status == "failed"
    assert done.rounds == 1
    assert "site-3" in str(done.error)
