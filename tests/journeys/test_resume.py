"""A run that is killed and started again in its folder ends as if nothing had happened."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import flk
import numpy as np
import pytest
from flk.errors import CheckpointError, ConfigError, StorageError, UsageError
from flk.job.checkpoints import CheckpointManager, CheckpointWarning
from flk.testing.collab import Algorithm, Site
from flk_env_sim import SimEnv

JOB = Path(__file__).with_name("durable_job.py")


def started(folder: Path, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", JOB, folder, str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
    )


def to_the_end(folder: Path, seed: int) -> list[str]:
    out, err = started(folder, seed).communicate(timeout=60)
    lines = out.splitlines()
    assert lines and lines[-1].startswith("result"), err
    return lines


def killed_after(folder: Path, seed: int, lines: int) -> list[str]:
    """What the process said before it was killed; it may have ended before."""
    child = started(folder, seed)
    assert child.stdout is not None and child.stderr is not None
    heard = []
    for line in child.stdout:
        heard.append(line.strip())
        if len(heard) >= lines:
            child.kill()
            break
    child.wait(60)
    child.stdout.close()
    child.stderr.close()
    return heard


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_run_killed_anywhere_ends_bit_equal(tmp_path: Path, seed: int) -> None:
    whole = to_the_end(tmp_path / "undisturbed", seed)
    moments = random.Random(seed)
    lives = 0
    while True:
        heard = killed_after(tmp_path / "killed", seed, moments.randint(1, 12))
        lives += 1
        if heard[-1].startswith("result"):
            break
        assert lives < 40, "it makes no progress"
    assert lives > 1
    assert heard[-1] == whole[-1]


def test_a_committed_round_is_not_computed_again(tmp_path: Path) -> None:
    heard = killed_after(tmp_path, 4, lines=9)
    begun = int([line for line in heard if line.startswith("round")][-1].split()[1])
    assert begun == 2
    again = to_the_end(tmp_path, 4)
    assert again[0] == f"round {begun}"


def test_two_processes_in_one_folder_are_refused(tmp_path: Path) -> None:
    first = started(tmp_path, 1)
    assert first.stdout is not None
    try:
        first.stdout.readline()
        second = SimEnv(2, folder=tmp_path)
        with pytest.raises(UsageError, match="another run"):
            flk.Recipe("job", Algorithm(lambda: 1), Site, trackers=[]).execute(second)
    finally:
        first.kill()
        first.communicate(timeout=60)


def in_folder(folder: Path, algo: Any, name: str = "job", seed: int | None = 0, **o: Any) -> Any:
    environment = SimEnv(2, folder=folder, seed=seed, **o)
    try:
        return flk.Recipe(name, Algorithm(algo), Site, trackers=[]).execute(environment)
    finally:
        environment.stop()


def count(rounds: int) -> Any:
    def algo() -> Any:
        loop = flk.rounds(rounds, state={"n": 0, "w": np.zeros(3)})
        for r in loop:
            r.state["n"] += 1
            r.state["w"] += flk.rng().random()
        return loop.state["n"], loop.state["w"].tolist()

    return algo


def test_the_folder_of_another_job_or_seed_is_refused(tmp_path: Path) -> None:
    assert in_folder(tmp_path, count(2)).status == "completed"
    with pytest.raises(ConfigError, match="job"):
        in_folder(tmp_path, count(2), name="other")
    with pytest.raises(ConfigError, match="seed"):
        in_folder(tmp_path, count(2), seed=1)


def test_the_folder_of_a_run_with_other_sites_is_refused(tmp_path: Path) -> None:
    assert in_folder(tmp_path, count(2)).status == "completed"
    other = SimEnv(3, folder=tmp_path)
    with pytest.raises(ConfigError, match="sites site-1, site-2, not site-1, site-2, site-3"):
        flk.Recipe("job", Algorithm(count(2)), Site, trackers=[]).execute(other)
    assert in_folder(tmp_path, count(4)).status == "completed"


def test_a_commit_beside_working_sites_stores_what_they_had_before(tmp_path: Path) -> None:
    """State is stored as the last work that ended left it, however the work is done."""
    seen = []

    class Halfway:
        @flk.collab
        async def step(self) -> None:
            self._begin()
            await asyncio.sleep(0.002 * int(flk.site[5:]))
            self._end()

        @flk.collab
        async def steps(self) -> Any:
            for _ in range(3):
                self._begin()
                await asyncio.sleep(0)
                self._end()
                yield 1

        def _begin(self) -> None:
            flk.state["begun"] = flk.state.get("begun", 0) + 1

        def _end(self) -> None:
            flk.state["ended"] = flk.state.get("ended", 0) + 1

    async def algo() -> None:
        async def one(site: str) -> None:
            for _ in range(4):
                await flk.clients[site].step()
                flk.commit({})
                async for _ in await flk.clients[site].steps():
                    flk.commit({})

        await asyncio.gather(*map(one, flk.clients.names))

    class Looking(CheckpointManager):
        def save(self, version: int, state: Any) -> None:
            seen.extend(state["states"].values())
            super().save(version, state)

    with pytest.MonkeyPatch.context() as looking:
        looking.setattr("flk_env_sim.CheckpointManager", Looking)
        environment = SimEnv(3, folder=tmp_path)
        done = flk.Recipe("job", Algorithm(algo), Halfway, trackers=[]).execute(environment)
    assert done.status == "completed", done.error
    assert len(seen) > 20
    assert all(state.get("begun") == state.get("ended") for state in seen)


def test_without_a_seed_the_run_goes_on_under_that_of_the_folder(tmp_path: Path) -> None:
    first = in_folder(tmp_path, count(2), seed=None)
    second = in_folder(tmp_path, count(2), seed=None)
    assert second.record.seed == first.record.seed
    assert second.result == first.result


def test_more_rounds_go_on_from_the_last(tmp_path: Path) -> None:
    in_folder(tmp_path / "a", count(2))
    longer = in_folder(tmp_path / "a", count(5))
    assert longer.result == in_folder(tmp_path / "b", count(5)).result


def test_a_damaged_newest_checkpoint_falls_back(tmp_path: Path) -> None:
    whole = in_folder(tmp_path, count(3)).result
    newest = max((tmp_path / "checkpoints" / "rounds").iterdir())
    newest.write_bytes(newest.read_bytes()[:-40])
    with pytest.warns(CheckpointWarning):
        again = in_folder(tmp_path, count(3))
    assert again.result == whole


def test_a_folder_with_nothing_but_damage_is_refused(tmp_path: Path) -> None:
    in_folder(tmp_path, count(3))
    for blob in (tmp_path / "checkpoints" / "rounds").iterdir():
        blob.write_bytes(b"garbage")
    with pytest.raises(CheckpointError):
        in_folder(tmp_path, count(3))


def test_a_full_disk_fails_the_run_and_leaves_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flk.files import RealFiles

    write = RealFiles.write
    written = 0

    def until_full(self: Any, path: Path, chunks: Any, **options: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise OSError(28, "No space left on device", str(path))
        write(self, path, chunks, **options)

    with monkeypatch.context() as full:
        full.setattr(RealFiles, "write", until_full)
        run = in_folder(tmp_path, count(5))
    assert run.status == "failed"
    assert isinstance(run.error, StorageError)
    assert run.rounds == 2
    assert in_folder(tmp_path, count(5)).result == in_folder(tmp_path / "other", count(5)).result


def test_the_state_of_sites_is_that_of_the_last_commit(tmp_path: Path) -> None:
    def dies() -> Any:
        for r in flk.rounds(5):
            flk.clients.tally()
            if r.number == 3:
                raise ConnectionError("the process died here")

    assert in_folder(tmp_path, dies).status == "failed"
    assert in_folder(tmp_path, lambda: list(flk.clients.tally())).result == [4, 4]


def test_what_an_asynchronous_algorithm_commits_is_there_again(tmp_path: Path) -> None:
    def steps(upto: int) -> Any:
        async def algo() -> Any:
            state = flk.committed({"draws": []})
            while len(state["draws"]) < upto:
                draw = (await flk.clients[0].draw())[0]
                state["draws"].append([draw, flk.rng().random()])
                flk.commit(state)
            return state["draws"]

        return algo

    in_folder(tmp_path / "a", steps(2))
    resumed = in_folder(tmp_path / "a", steps(4))
    assert resumed.result == in_folder(tmp_path / "b", steps(4)).result
    assert resumed.rounds == 4
