"""Objects with methods as a federation."""

from __future__ import annotations

import sys
from pathlib import Path

import flk
import numpy as np
import pytest
from flk.job import load_recipe

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def run(path: Path) -> flk.Recipe:
    done = load_recipe(str(path)).execute(flk.env.sim(num_clients=3, seed=0))
    assert done.status == "completed", done.error
    return done


def test_every_site_learns_the_digits() -> None:
    done = run(HERE)
    for site in done.sites:
        assert done.last(site)["accuracy"] > 0.9


def test_classes_and_functions_end_with_the_same_weights_bit_by_bit() -> None:
    with_class, no_class = run(HERE).result, run(HERE.parent / "no_class").result
    assert with_class.dtype == no_class.dtype
    assert np.array_equal(with_class, no_class)
    assert np.any(with_class)
