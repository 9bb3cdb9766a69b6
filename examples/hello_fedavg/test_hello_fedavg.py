"""What the first contact promises."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
FLK = "import sys; from flk.cli import main; main(sys.argv[1:])"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's folder after it ran, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, HERE / "demo.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    return run, done


@pytest.fixture(scope="module")
def result(demo) -> dict[str, float]:
    run, _ = demo
    return json.loads((run / "run.json").read_text())["summary"]["result"]


def test_the_federated_model_is_far_better_than_any_site_alone(result) -> None:
    alone = [value for name, value in result.items() if name.startswith("local only, site")]
    assert len(alone) == 5
    assert result["federated"] > max(alone) + 0.1


def test_the_federated_model_comes_near_the_pooled_one(result) -> None:
    assert result["pooled"] > result["federated"] > result["pooled"] - 0.04


def test_the_demo_prints_the_table_and_where_the_report_is(demo, result) -> None:
    run, done = demo
    for name, value in result.items():
        assert f"{name:<20} {value:6.1%}" in done.stdout
    assert str(run / "report.html") in done.stdout


def test_the_report_shows_the_table_and_the_split(demo, result) -> None:
    run, _ = demo
    page = (run / "report.html").read_text()
    for text in (*result, "Split of the data", "labels", "accuracy"):
        assert text in page


def test_progress_is_told_while_it_runs(demo) -> None:
    _, done = demo
    assert "round 1/30" in done.stderr


@pytest.fixture(scope="module")
def data():
    """The module data.py, under a name that no other example has."""
    spec = importlib.util.spec_from_file_location("hello_fedavg_data", HERE / "data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_site_has_mostly_two_digits(data) -> None:
    for site in range(5):
        counts = np.bincount(data.site_data(site, 5)[1], minlength=10)
        assert sorted(np.argsort(counts)[-2:]) == [2 * site, 2 * site + 1]
        assert 0.85 < np.sort(counts)[-2:].sum() / counts.sum() < 0.95


@pytest.mark.parametrize("sites", [1, 2, 3, 7, 10, 30])
def test_the_sites_share_the_training_set_whatever_their_number(data, sites) -> None:
    held = [len(data.site_data(site, sites)[1]) for site in range(sites)]
    assert min(held) > 0
    assert sum(held) == len(data.training_set()[1])
    assert sum(held) + len(data.test_set()[1]) == 1797


def test_it_runs_from_the_command_line(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLK, "run", HERE, "--rounds", "2", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert (told["status"], told["rounds"], told["sites"]) == ("completed", 2, 5)
