"""Functions of a module as a federation."""

from __future__ import annotations

import sys
from pathlib import Path

import flk
import pytest
from flk.job import load_recipe

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def run():
    return load_recipe(str(HERE)).execute(flk.env.sim(num_clients=3))


def test_it_completes(run) -> None:
    assert run.status == "completed", run.error
    assert run.rounds == 20


def test_every_site_learns_the_digits(run) -> None:
    for site in run.sites:
        assert run.last(site)["accuracy"] > 0.9
