"""The command line in processes of its own, with the simulator: what a user at a terminal sees."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FLK = [sys.executable, "-c", "import sys; from flk.cli import main; main(sys.argv[1:])"]

ENDLESS = """
    import sys
    import flk

    @flk.algo
    def count(rounds=10**9):
        loop = flk.rounds(rounds, state={"total": 0.0})
        for r in loop:
            if r.number == 3:
                print("three rounds are done", file=sys.stderr, flush=True)
            r.state["total"] += flk.clients.work().reduce("mean")
            flk.log({"total": r.state["total"]})
        return r.state["total"]

    @flk.collab
    def work():
        return 1.0
"""

STUCK = """
    import sys, threading
    import flk

    @flk.algo
    def hang():
        flk.clients.work()

    @flk.collab
    def work():
        print("stuck", file=sys.stderr, flush=True)
        threading.Event().wait()
"""

RESUMING = """
    import os, signal, sys
    import flk

    @flk.algo
    def count(rounds=6, die=True):
        loop = flk.rounds(rounds, state={"seen": []})
        for r in loop:
            if die and r.number == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            r.state["seen"] = [*r.state["seen"], f"{r.number} by {die}"]
        return loop.state["seen"]

    @flk.collab
    def nothing(): ...
"""


@pytest.fixture
def write(tmp_path):
    def write(source: str) -> Path:
        path = tmp_path / "app.py"
        path.write_text(textwrap.dedent(source))
        return path

    return write


@pytest.fixture
def flk(tmp_path):
    """Run the command line to its end in an empty folder."""

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        command = [*FLK, *map(str, args)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def started(tmp_path):
    """Start the command line in an empty folder; it is gone at the end of the test."""
    processes = []

    def start(*args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*FLK, *map(str, args)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Until the process writes a line with `text` to stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended with {process.wait()} and never wrote {text!r}")


def test_ctrl_c_ends_a_run_in_good_order_and_shows_what_was_reached(write, started):
    process = started("run", write(ENDLESS), "--json")
    wait_for(process, "three rounds are done")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    told = json.loads(out)
    assert told["status"] == "aborted"
    assert told["rounds"] >= 3
    assert told["metrics"]["total"] >= 3
    assert json.loads((Path(told["folder"]) / "run.json").read_text())["status"] == "aborted"
    assert "interrupted by the user" in err


def test_ctrl_c_while_a_run_starts_ends_it_in_good_order_too(write, flk):
    early = """
    import os, signal
    from flk_env_sim import SimEnv

    deploy = SimEnv.deploy

    def interrupted(env, recipe):
        os.kill(os.getpid(), signal.SIGINT)
        return deploy(env, recipe)

    SimEnv.deploy = interrupted
    """
    done = flk("run", write(early + ENDLESS), "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["status"] == "aborted"


def test_a_second_ctrl_c_ends_at_once_what_does_not_listen(write, started):
    process = started("run", write(STUCK))
    wait_for(process, "stuck")
    process.send_signal(signal.SIGINT)
    wait_for(process, "Ctrl-C again stops at once")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_run_that_was_killed_goes_on_in_its_folder(write, flk):
    app = write(RESUMING)
    assert flk("run", app, "--folder", "work").returncode == -signal.SIGKILL
    again = flk("run", app, "--folder", "work", "--set", "die=false", "--json")
    assert again.returncode == 0, again.stderr
    seen = json.loads(again.stdout)["result"]
    assert seen == [f"{n} by {n < 4}" for n in range(6)]


def test_a_run_in_a_folder_that_is_in_use_is_refused(write, started, flk):
    process = started("run", write(ENDLESS), "--folder", "work")
    wait_for(process, "three rounds are done")
    second = flk("run", "app.py", "--folder", "work")
    assert second.returncode == 2
    assert "another run is going on" in second.stderr


def test_a_site_that_fails_is_named_with_the_line_that_raised(write, flk):
    fails = ENDLESS.replace("return 1.0", "raise ValueError('no data')")
    app = write(fails)
    done = flk("run", app)
    line = app.read_text().splitlines().index("    raise ValueError('no data')") + 1
    assert done.returncode == 1
    assert "ValueError: no data" in done.stderr
    assert f"at {app}:{line} in work" in done.stderr


def test_seed_and_sites_reach_the_simulator(write, flk):
    draws = """
        import flk

        @flk.algo
        def draw():
            return [list(flk.context.run.sites), *flk.clients.number()]

        @flk.collab
        def number():
            return flk.rng().random()
    """
    app = write(draws)

    def result(*args):
        return json.loads(flk("run", app, "--json", *args).stdout)["result"]

    assert result("--sites", 2, "--seed", 1) == result("--sites", 2, "--seed", 1)
    assert result("--sites", 2, "--seed", 1) != result("--sites", 2, "--seed", 2)
    assert result("--sites", 3)[0] == ["site-1", "site-2", "site-3"]


def test_with_json_progress_does_not_stand_on_stdout(write, flk, monkeypatch):
    monkeypatch.setenv("FLK_PROGRESS", "plain")
    done = flk("run", write(ENDLESS), "--rounds", 2, "--json")
    assert json.loads(done.stdout)["rounds"] == 2
    assert "round 2/2" in done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("template", ["numpy", "torch"])
def test_a_new_project_runs_at_once_and_passes_its_test(tmp_path, flk, template):
    if template == "torch":
        pytest.importorskip("torch")
    assert flk("new", "mine", "--template", template).returncode == 0
    done = flk("run", "mine", "--rounds", 3, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["job"], told["rounds"]) == ("completed", "mine", 3)
    assert told["metrics"]["accuracy"] > 0.8
    (weights,) = Path(told["folder"]).glob("weights.*")
    assert weights.stat().st_size > 1000
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio"]
    subprocess.run(tests, cwd=tmp_path / "mine", check=True, capture_output=True)


def test_a_new_project_can_be_installed(tmp_path, flk):
    flk("new", "mine")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*pip, "--target", tmp_path / "there", tmp_path / "mine"], check=True, capture_output=True
    )
    metadata = (tmp_path / "there" / "mine-0.1.0.dist-info" / "METADATA").read_text()
    assert "Requires-Dist: flk[sim]>=0.1" in metadata
