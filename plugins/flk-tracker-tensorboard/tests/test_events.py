"""What stands in the event files, read by TensorBoard's own reader."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from flk.errors import ConfigError, StorageError
from flk.spi.records import Fact, Metric, RunRecord
from flk_tracker_tensorboard import TensorBoardTracker, folder_name
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    return RunRecord("r1", "digits", "sim", ("site-1",), tmp_path / "run", 1.7e9)


def read(folder: Path) -> EventAccumulator:
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return reader


def test_a_run_without_a_folder_is_refused_with_a_cure() -> None:
    with pytest.raises(ConfigError, match="folder"):
        TensorBoardTracker().start(RunRecord("r1", "digits", "sim", (), None, 1.7e9))


def test_a_folder_of_its_own_takes_the_place_of_the_run_folder(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(folder=tmp_path / "logs")
    tracker.start(RunRecord("r1", "digits", "sim", (), None, 1.7e9))
    tracker.log([Metric("loss", 0.5, "server", 3, 3, 12.5)])
    tracker.finish("completed", {})
    (event,) = read(tmp_path / "logs" / "server").Scalars("loss")
    assert (event.step, event.value, event.wall_time) == (3, 0.5, 12.5)


def test_facts_are_texts(run: RunRecord) -> None:
    tracker = TensorBoardTracker()
    tracker.start(run)
    tracker.log([Fact("labels", {"0": 3, "é": 1}, "site-1", 1.0)])
    tracker.finish("completed", {})
    assert run.folder is not None
    (event,) = read(run.folder / "tensorboard" / "site-1").Tensors("labels")
    assert json.loads(event.tensor_proto.string_val[0]) == {"0": 3, "é": 1}


def test_records_can_be_read_while_the_run_goes_on(run: RunRecord) -> None:
    tracker = TensorBoardTracker()
    tracker.start(run)
    tracker.log([Metric("loss", 0.5, "site-1", 0, 0, 1.0)])
    assert run.folder is not None
    reader = read(run.folder / "tensorboard" / "site-1")
    tracker.log([Metric("loss", 0.25, "site-1", 1, 1, 1.0)])
    reader.Reload()
    assert [event.value for event in reader.Scalars("loss")] == [0.5, 0.25]


def test_a_run_started_again_adds_to_its_series(run: RunRecord) -> None:
    for step in range(3):
        tracker = TensorBoardTracker()
        tracker.start(run)
        tracker.log([Metric("loss", 1.0, "site-1", step, step, 1.0)])
        tracker.finish("aborted", {})
    assert run.folder is not None
    reader = read(run.folder / "tensorboard" / "site-1")
    assert [event.step for event in reader.Scalars("loss")] == [0, 1, 2]


def test_more_sites_than_a_process_may_open_files_are_written(run: RunRecord) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
    try:
        tracker = TensorBoardTracker()
        tracker.start(run)
        for step in range(2):
            tracker.log([Metric("loss", 1.0, f"site-{i}", step, step, 1.0) for i in range(300)])
        tracker.finish("completed", {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert run.folder is not None
    assert len(list((run.folder / "tensorboard").iterdir())) == 300


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_full_disk_is_a_storage_error_with_a_cure(run: RunRecord) -> None:
    tracker = TensorBoardTracker()
    tracker.start(run)
    tracker.log([Metric("loss", 0.5, "site-1", 0, 0, 1.0)])
    assert run.folder is not None
    (file,) = (run.folder / "tensorboard" / "site-1").iterdir()
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left") as caught:
        tracker.log([Metric("loss", 0.5, "site-1", 1, 1, 1.0)])
    assert "Free space" in caught.value.cure


@given(st.text(max_size=200), st.text(max_size=200))
def test_folders_of_sites_are_plain_names_and_differ(one: str, other: str) -> None:
    name = folder_name(one)
    assert 0 < len(name) <= 100 and Path(name).name == name and name not in (".", "..")
    assert name.isascii() and "\0" not in name
    assert (name == folder_name(other)) == (one == other)


def test_neither_tensorflow_nor_torch_is_imported(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "import flk_tracker_tensorboard as plugin\n"
        "assert 'tensorboard' not in sys.modules, 'imported before a run starts'\n"
        "from flk.spi.records import Metric, RunRecord\n"
        "tracker = plugin.TensorBoardTracker()\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "tracker.start(RunRecord('r1', 'digits', 'sim', (), folder, 1.7e9))\n"
        "tracker.log([Metric('loss', 0.5, 'server', 0, 0, 1.0)])\n"
        "tracker.finish('completed', {})\n"
        "assert not {'tensorflow', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60, check=True)
