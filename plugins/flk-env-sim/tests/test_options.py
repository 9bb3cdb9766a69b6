"""Options of the simulator: what they mean, and what is refused at once."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import flk
import pytest
from flk.calls import Fault
from flk.errors import PluginNotFound, StorageError, UsageError
from flk.model import FLModel
from flk.testing import SimWorld
from flk.testing.collab import Algorithm, Site
from flk_env_sim import SimEnv
from flk_env_sim.faults import fault_plan, not_a_number


def run(algo: Any, environment: SimEnv) -> Any:
    try:
        return flk.Recipe("options", Algorithm(algo), Site, trackers=[]).execute(environment)
    finally:
        environment.stop()


@pytest.mark.parametrize(
    "options",
    [{"num_clients": 0}, {"num_clients": -1}, {"num_clients": True}, {"num_clients": "3"},
     {"sites": []}, {"sites": ["a", "a"]}, {"sites": ["server"]},
     {"num_clients": 2, "sites": ["a"]},
     {"share": True, "strict": True}],
)  # fmt: skip
def test_nonsense_is_refused_when_it_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SimEnv(**options)


def test_sites_may_have_names() -> None:
    done = run(lambda: list(flk.clients.names), SimEnv(sites=["north", "south"]))
    assert done.value() == ["north", "south"]


def test_an_executor_that_is_not_installed_is_named() -> None:
    with pytest.raises(PluginNotFound, match="nothing"):
        run(lambda: 1, SimEnv(2, executor="nothing"))


def test_without_a_seed_each_run_takes_a_new_one() -> None:
    seeds = {run(lambda: flk.seed(), SimEnv(1, seed=None)).value() for _ in range(3)}
    assert len(seeds) == 3


def test_without_trackers_and_folder_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(lambda: 1, SimEnv(2)).folder is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be used: Not a directory"):
        run(lambda: 1, SimEnv(2, folder=tmp_path / "file" / "run"))


def test_a_world_under_virtual_time_is_one_too() -> None:
    async def algo() -> Any:
        await asyncio.sleep(3600)
        return list(await flk.clients.number())

    world = SimWorld(1)
    done = run(algo, SimEnv(2, world=world))
    world.close()
    assert done.value() == [1.0, 2.0]
    assert done.seconds == 3600


def test_a_run_leaves_no_thread_and_no_open_file_though_nobody_stops_the_environment() -> None:
    def algo() -> Any:
        flk.log({"loss": 1.0})
        return list(flk.clients.number()), list(flk.clients(timeout=60).number())

    def left_by(runs: int) -> tuple[int, int]:
        for _ in range(runs):
            flk.Recipe("options", Algorithm(algo), Site, trackers=[]).execute(SimEnv(2)).value()
        return threading.active_count(), len(os.listdir("/dev/fd"))

    assert left_by(20) == left_by(1)


def test_faults_by_chance_depend_on_the_seed_and_the_call_only() -> None:
    plans = [fault_plan({"drop": 0.5}, seed, ["a", "b"]) for seed in (1, 1, 2)]
    drawn = [[plan(site, "f", n) for site in "ab" for n in range(50)] for plan in plans if plan]
    assert drawn[0] == drawn[1] != drawn[2]
    lost = sum(fault == Fault(lost=True) for fault in drawn[0])
    assert 20 < lost < 80


def test_placed_faults_hit_the_calls_that_were_named() -> None:
    plan = fault_plan({"a": {"drop": 1, "nan": [0, 2], "delay": 5.0}}, 0, ["a", "b"])
    assert plan is not None
    faults = [plan("a", "f", n) for n in range(3)]
    assert [fault.lost for fault in faults if fault] == [False, True, False]
    assert [fault.spoil is not None for fault in faults if fault] == [True, False, True]
    assert [fault.delay for fault in faults if fault] == [5.0] * 3
    assert plan("b", "f", 1) is None


def test_every_float_becomes_nan_and_the_rest_stays() -> None:
    model = FLModel({"a": [1.0, 2], "b": ("x", 3.0)}, metrics={"loss": 0.5})
    spoilt = not_a_number((model, 7))
    assert repr(spoilt[0].params) == "{'a': [nan, 2], 'b': ('x', nan)}"
    assert (spoilt[0].metrics, spoilt[1]) == ({"loss": 0.5}, 7)
    assert model.params == {"a": [1.0, 2], "b": ("x", 3.0)}
