"""Personal heads on a common body."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import flk
import numpy as np
import pytest
from flk.job import load_recipe

HERE = Path(__file__).parent
SITES = 5


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def run(env: Any = None, **settings: Any) -> Any:
    recipe = load_recipe(str(HERE))
    recipe.set(settings)
    done = recipe.execute(flk.env.sim(num_clients=SITES, seed=0, **(env or {})))
    assert done.status == "completed", done.error
    return done.result


def test_personal_heads_beat_the_common_model_at_every_site() -> None:
    personal, common = (run(personal=choice)["accuracy"] for choice in (True, False))
    assert list(personal) == [f"site-{n}" for n in range(1, SITES + 1)]
    for site in personal:
        assert personal[site] > common[site] + 0.05
    assert min(personal.values()) > 0.95


def test_heads_never_leave_their_sites() -> None:
    assert set(run()["params"]) == {"body"}
    assert set(run(personal=False)["params"]) == {"body", "head"}


def test_without_personal_heads_sites_keep_nothing() -> None:
    assert set(run(personal=False, rounds=2)["age"].values()) == {0}


@pytest.mark.parametrize("strict", [False, True])
def test_heads_survive_a_restart_in_the_same_folder(tmp_path, strict) -> None:
    env = {"folder": tmp_path / "work", "strict": strict}
    first = run(env, rounds=3)
    assert set(first["age"].values()) == {3}
    second, undisturbed = run(env, rounds=6), run(rounds=6)
    assert set(second["age"].values()) == {6}
    assert second["accuracy"] == undisturbed["accuracy"]
    assert np.array_equal(second["params"]["body"]["w"], undisturbed["params"]["body"]["w"])


def test_a_site_that_misses_rounds_goes_on_with_the_head_it_had() -> None:
    done = run({"faults": {"site-2": {"drop": [4, 5]}}})
    assert done["age"] == {f"site-{n}": 8 if n == 2 else 10 for n in range(1, SITES + 1)}
    assert done["accuracy"]["site-2"] > 0.95


def test_a_site_whose_process_dies_still_has_its_head() -> None:
    done = run({"faults": {"site-2": {"crash": 4}}})
    assert done["age"]["site-2"] == 9
    assert done["accuracy"]["site-2"] > 0.95
