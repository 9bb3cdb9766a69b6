"""A state dict of torch through the ready-made workflow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import flk
import pytest
from flk.job import load_recipe

torch = pytest.importorskip("torch")

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def run(rounds: int = 3, **env: Any) -> flk.Recipe:
    recipe = load_recipe(str(HERE))
    recipe.set({"rounds": rounds})
    done = recipe.execute(flk.env.sim(num_clients=5, **{"seed": 0, **env}))
    assert done.status == "completed", done.error
    return done


def test_the_average_knows_images_that_no_site_has() -> None:
    accuracies = [value for _, value in run().series("accuracy")]
    assert len(accuracies) == 3
    assert accuracies[-1] > 0.93
    assert accuracies[-1] > accuracies[0]


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, through_bytes, other = (
        run(rounds=1, **env).result.params for env in ({}, {}, {"strict": True}, {"seed": 1})
    )
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        assert torch.equal(tensor, through_bytes[name])
    assert not torch.equal(first["0.weight"], other["0.weight"])
