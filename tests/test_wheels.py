"""What users install: every distribution builds, and the kernel with three plugins runs a
federation in an environment that has never seen this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import repo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DEMO = repo.ROOT / "examples" / "hello_fedavg" / "demo.py"
PLUGINS = ["flk-env-sim", "flk-serializer-numpy", "flk-workflow-fedavg"]

APP = """
import flk, numpy

@flk.collab
def train(weights):
    return weights + 1.0

@flk.algo
def average(n=2):
    rounds = flk.rounds(n, state={"weights": numpy.zeros(3)})
    for r in rounds:
        r.state["weights"] = flk.clients.train(r.state["weights"]).reduce("mean")
    return rounds.state["weights"]

if __name__ == "__main__":
    run = flk.Recipe(job_name="wheels", min_clients=3).execute(flk.env.sim(num_clients=3))
    assert run.status == "completed", run.error
    print(run.result.tolist())
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that sees nothing of this process's environment but what it needs to
    reach the machine."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FLK_", "VIRTUAL"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=keep,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """A folder with the wheel of every distribution, built from copies of the sources."""
    top = tmp_path_factory.mktemp("sources")
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", ".hypothesis", "runs")
    for name in ("kernel", "plugins"):
        shutil.copytree(repo.ROOT / name, top / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repo.ROOT / name, top / name)
    folder = tmp_path_factory.mktemp("wheels")
    sources = [top, *(top / plugin.path for plugin in repo.plugins())]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, *sources, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def environment(wheels, tmp_path_factory) -> Path:
    """The programs of an environment with the kernel, three plugins and what they depend on."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    install(programs, wheels, ["flk", *PLUGINS])
    return programs


def install(programs: Path, wheels: Path, names: list[str], *others: str) -> None:
    """Install distributions of this repository from their wheels and nowhere else, after what they
    depend on."""
    projects = {d.name: d.project for d in [repo.kernel(), *repo.plugins()]}
    depended = {
        requirement
        for name in names
        for requirement in projects[name.partition("[")[0]]["dependencies"]
        if not requirement.startswith("flk")
    }
    pip = [programs / "pip", "install", "--quiet"]
    run(*pip, *sorted(depended), *others, cwd=programs)
    run(*pip, "--no-index", "--find-links", wheels, *names, cwd=programs)
    run(programs / "pip", "check", cwd=programs)


def test_every_distribution_builds(wheels) -> None:
    built = {path.name.partition("-")[0] for path in wheels.glob("*.whl")}
    assert built == {"flk", *(plugin.module for plugin in repo.plugins())}


def test_a_wheel_holds_its_module_and_nothing_beside_it(wheels) -> None:
    for path in wheels.glob("*.whl"):
        tops = {name.partition("/")[0] for name in zipfile.ZipFile(path).namelist()}
        module = path.name.partition("-")[0]
        assert {top for top in tops if not top.endswith(".dist-info")} == {module}


def test_the_kernels_wheel_holds_suites_templates_and_type_marker(wheels) -> None:
    names = zipfile.ZipFile(next(wheels.glob("flk-*.whl"))).namelist()
    for folder in ("testing", "_templates"):
        source = repo.ROOT / "kernel" / "flk" / folder
        files = [f for f in source.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
        assert {f.relative_to(repo.ROOT / "kernel").as_posix() for f in files} <= set(names)
    assert "flk/py.typed" in names


def test_the_installed_plugins_are_listed(environment, tmp_path) -> None:
    listing = run(environment / "flk", "plugins", "--json", cwd=tmp_path)
    text = json.dumps(json.loads(listing))
    for name in PLUGINS:
        assert name in text


def test_a_federation_runs_from_the_wheels_alone(environment, tmp_path) -> None:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    assert "[2.0, 2.0, 2.0]" in run(environment / "python", "app.py", cwd=tmp_path)


def test_the_command_line_runs_it_too(environment, tmp_path) -> None:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    output = run(environment / "flk", "run", "app.py", "--sites", "3", "--json", cwd=tmp_path)
    assert json.loads(output)["status"] == "completed"


@pytest.mark.skipif(not DEMO.exists(), reason="there is no demo yet")
def test_the_demo_needs_the_extra_sim_and_its_data_set(wheels, environment, tmp_path) -> None:
    extra = repo.kernel().project["optional-dependencies"]["sim"]
    plugins = [requirement.partition(">=")[0] for requirement in extra]
    install(environment, wheels, ["flk[sim]", *plugins], "scikit-learn")
    shutil.copytree(DEMO.parent, tmp_path / "demo")
    run(environment / "python", DEMO.name, cwd=tmp_path / "demo")
