"""A network in two halves trains as the whole one does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import flk
import numpy as np
import pytest
from flk.job import load_recipe

HERE = Path(__file__).parent
SITES = 3


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
    done = recipe.execute(flk.env.sim(num_clients=SITES, seed=0, **env))
    assert done.status == "completed", done.error
    return done


class Seeds:
    """The seeds of the run, for a training without one."""

    @flk.algo
    def ask(self, rounds: int) -> Any:
        begin = flk.seed("front"), flk.seed("back")
        return begin, [list(flk.clients.tell()) for _ in flk.rounds(rounds)]

    @flk.collab
    def tell(self) -> int:
        return flk.seed()


def unsplit(module: Any, rounds: int) -> dict[str, Any]:
    """Ordinary back-propagation through the whole network, in the order of the run."""
    seeds = flk.Recipe("seeds", Seeds(), Seeds(), trackers=[], config={"rounds": rounds})
    (front_seed, back_seed), orders = seeds.execute(flk.env.sim(SITES, seed=0)).value()
    rng = np.random.default_rng
    w1, b1 = rng(front_seed).normal(0, 0.2, (64, 32)), np.zeros(32)
    w2, b2 = rng(back_seed).normal(0, 0.2, (32, 10)), np.zeros(10)
    for seeds_of_round in orders:
        for site, seed in enumerate(seeds_of_round):
            images, labels = module.site_data(site, SITES)
            for rows in module.batches(len(labels), seed):
                x, wanted = images[rows], np.eye(10)[labels[rows]]
                hidden = np.maximum(x @ w1 + b1, 0)
                error = (module.softmax(hidden @ w2 + b2) - wanted) / len(rows)
                back = error @ w2.T * (hidden > 0)
                w2, b2 = w2 - 0.2 * hidden.T @ error, b2 - 0.2 * error.sum(axis=0)
                w1, b1 = w1 - 0.2 * x.T @ back, b1 - 0.2 * back.sum(axis=0)
    return {"front": {"w": w1, "b": b1}, "back": {"w": w2, "b": b2}}


def test_the_loss_falls_with_every_round(recipe) -> None:
    losses = [value for _, value in run(recipe).series("loss")]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


def test_the_halves_end_as_the_unsplit_network_does(recipe, module) -> None:
    result, whole = run(recipe).result, unsplit(module, rounds=5)
    for half in ("front", "back"):
        for name in ("w", "b"):
            assert np.allclose(result[half][name], whole[half][name], rtol=1e-9, atol=1e-12)


def test_the_network_knows_the_digits_of_every_site(recipe, module) -> None:
    front, back = run(recipe).result.values()
    for site in range(SITES):
        images, labels = module.site_data(site, SITES)
        hidden = np.maximum(images @ front["w"] + front["b"], 0)
        assert np.mean((hidden @ back["w"] + back["b"]).argmax(1) == labels) > 0.9


def test_what_crosses_the_cut_can_be_sent(recipe) -> None:
    direct, sent = run(recipe).result, run(recipe, strict=True).result
    assert np.array_equal(direct["back"]["w"], sent["back"]["w"])


def test_a_round_that_breaks_off_leaves_neither_half_changed(recipe, tmp_path) -> None:
    whole = run(recipe).result
    faults = {"site-3": {"drop": 2}}
    broken = recipe.execute(flk.env.sim(SITES, seed=0, folder=tmp_path / "work", faults=faults))
    assert (broken.status, broken.rounds) == ("failed", 2)
    again = run(recipe, folder=tmp_path / "work").result
    assert np.array_equal(again["front"]["w"], whole["front"]["w"])
    assert np.array_equal(again["back"]["w"], whole["back"]["w"])
