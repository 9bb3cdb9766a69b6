"""metrics.jsonl and run.json: what they hold, and what is left after a crash or on a full disk."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flk.errors import ConfigError, StorageError
from flk.spi.records import Fact, Metric, RunRecord
from flk_tracker_jsonl import JsonlTracker, read_metrics
from hypothesis import given
from hypothesis import strategies as st


def metric(value: float = 0.5, step: int = 0, name: str = "loss", site: str = "site-1") -> Metric:
    return Metric(name, value, site, step, step, 1.5)


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    return RunRecord("r1", "digits", "sim", ("site-1", "site-2"), tmp_path / "run", 1.7e9, 7)


@pytest.fixture
def folder(run: RunRecord) -> Path:
    assert run.folder is not None
    return run.folder


@pytest.fixture
def tracker(run: RunRecord) -> JsonlTracker:
    started = JsonlTracker(report=False)
    started.start(run)
    return started


def test_a_run_without_a_folder_is_refused_with_a_cure() -> None:
    with pytest.raises(ConfigError, match="folder") as caught:
        JsonlTracker().start(RunRecord("r1", "digits", "sim", (), None, 1.7e9))
    assert "folder=" in caught.value.cure


def test_records_can_be_read_while_the_run_goes_on(tracker: JsonlTracker, folder: Path) -> None:
    records: list[Metric | Fact] = [
        metric(),
        Fact("labels", {"0": 3}, "site-1", 1.0),
        metric(0.25, 1),
    ]
    tracker.log(records)
    assert list(read_metrics(folder)) == records


def test_a_folder_without_metrics_holds_no_records(tmp_path: Path) -> None:
    assert list(read_metrics(tmp_path)) == []


@given(
    value=st.floats(),
    name=st.text(max_size=600),
    site=st.text(max_size=20),
    step=st.integers(0, 2**63),
)
def test_any_metric_is_one_line_of_valid_json_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, value: float, name: str, site: str, step: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    tracker = JsonlTracker(report=False)
    tracker.start(RunRecord("r1", "digits", "sim", (), folder, 1.7e9))
    tracker.log([metric(value, step, name, site)])
    tracker.finish("completed", {})
    data = (folder / "metrics.jsonl").read_bytes()
    assert data.count(b"\n") == 1 and data.endswith(b"\n") and len(data) <= 65_536
    assert all(32 <= byte < 127 for byte in data[:-1])
    json.loads(data, parse_constant=pytest.fail)
    (back,) = read_metrics(folder)
    assert isinstance(back, Metric)
    assert repr(back.value) == repr(value) and back.step == step and back.site == site
    assert back.name == name or (len(name) > 500 and len(back.name) == 500)


def test_a_fact_that_is_too_large_leaves_its_size(tracker: JsonlTracker, folder: Path) -> None:
    tracker.log([Fact("labels", {str(i): i for i in range(20_000)}, "site-1", 1.0)])
    (line,) = (folder / "metrics.jsonl").read_bytes().splitlines()
    assert json.loads(line)["omitted"] > 65_536 > len(line)
    assert list(read_metrics(folder)) == [Fact("labels", None, "site-1", 1.0)]


def test_a_fact_may_hold_what_json_cannot(tracker: JsonlTracker, folder: Path) -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    tracker.log([Fact("x", {"nan": math.nan, "deep": deep, "path": Path("a")}, "site-1", 1.0)])
    (fact,) = read_metrics(folder)
    assert isinstance(fact, Fact)
    assert fact.value["nan"] == "NaN" and fact.value["path"] == "a"


def test_a_half_written_last_line_is_not_read(tracker: JsonlTracker, folder: Path) -> None:
    tracker.log([metric()])
    with open(folder / "metrics.jsonl", "ab") as file:
        file.write(b'{"kind":"metric","name":"lo')
    assert list(read_metrics(folder)) == [metric()]


def test_a_run_started_again_cuts_the_half_line_and_goes_on(run: RunRecord, folder: Path) -> None:
    folder.mkdir()
    tracker = JsonlTracker()
    tracker.start(run)
    tracker.log([metric()])
    with open(folder / "metrics.jsonl", "ab") as file:
        file.write(b'{"kind":"metric","value":' + b"1" * 200_000)
    tracker = JsonlTracker()
    tracker.start(run)
    tracker.log([metric(0.25, 1)])
    tracker.finish("completed", {})
    assert list(read_metrics(folder)) == [metric(), metric(0.25, 1)]


@pytest.mark.parametrize(
    "garbage",
    [
        b"not json\n",
        b"[]\n",
        b"{}\n",
        b'{"kind":"metric"}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b"[" * 60_000 + b"\n",
    ],
)
def test_a_line_that_is_no_record_is_named(folder: Path, garbage: bytes) -> None:
    folder.mkdir()
    (folder / "metrics.jsonl").write_bytes(garbage)
    with pytest.raises(StorageError, match="line 1"):
        list(read_metrics(folder))


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib\n"
        "from flk.spi.records import Metric, RunRecord\n"
        "from flk_tracker_jsonl import JsonlTracker\n"
        "tracker = JsonlTracker()\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "tracker.start(RunRecord('r1', 'digits', 'sim', (), folder, 1.7e9))\n"
        "tracker.log([Metric('loss', 0.5, 'site-1', i, i, 1.5) for i in range(100)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -9
    assert list(read_metrics(tmp_path)) == [metric(step=i) for i in range(100)]
    assert json.loads((tmp_path / "run.json").read_bytes())["status"] == "running"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")
def test_a_full_disk_is_a_storage_error_with_a_cure(run: RunRecord, folder: Path) -> None:
    folder.mkdir()
    (folder / "metrics.jsonl").symlink_to("/dev/full")
    tracker = JsonlTracker(report=False)
    tracker.start(run)
    with pytest.raises(StorageError, match="No space left") as caught:
        tracker.log([metric()])
    assert "make room" in caught.value.cure


def test_a_disk_that_fills_up_within_a_line_keeps_the_lines_before(tmp_path: Path) -> None:
    script = (
        "import pathlib, resource, signal, sys\n"
        "from flk.errors import StorageError\n"
        "from flk.spi.records import Metric, RunRecord\n"
        "from flk_tracker_jsonl import JsonlTracker, read_metrics\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "tracker = JsonlTracker(report=False)\n"
        "tracker.start(RunRecord('r1', 'digits', 'sim', (), folder, 1.7e9))\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "batch = [Metric('loss', 0.5, 'site-1', 0, 0, 1.5)] * 3\n"
        "tracker.log(batch)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))\n"
        "try:\n"
        "    tracker.log(batch)\n"
        "except StorageError:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "    tracker.log(batch)\n"
        "    tracker.finish('completed', {})\n"
        "    raise SystemExit(len(list(read_metrics(folder))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == 6


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = RunRecord("r1", "digits", "sim", (), tmp_path / "file" / "run", 1.7e9)
    with pytest.raises(StorageError):
        JsonlTracker().start(run)


def test_run_json_tells_the_run_its_end_and_its_failures(
    tracker: JsonlTracker, folder: Path
) -> None:
    tracker.flk_on_round_started(3)
    tracker.flk_on_site_answered("train", "site-1", "")
    tracker.flk_on_site_answered("train", "site-2", "the disk is broken")
    tracker.finish("failed", {"seconds": 2.5, "error": "no quorum", "result": {"loss": math.nan}})
    told = json.loads((folder / "run.json").read_bytes(), parse_constant=pytest.fail)
    assert told["id"] == "r1" and told["seed"] == 7 and told["sites"] == ["site-1", "site-2"]
    assert told["status"] == "failed"
    assert told["summary"] == {"seconds": 2.5, "error": "no quorum", "result": {"loss": "NaN"}}
    assert told["failures"] == [
        {"round": 3, "site": "site-2", "function": "train", "error": "the disk is broken"}
    ]


def test_a_result_that_is_too_large_for_run_json_leaves_its_size(
    tracker: JsonlTracker, folder: Path
) -> None:
    tracker.finish("completed", {"result": [0.123456789] * 200_000})
    path = folder / "run.json"
    assert path.stat().st_size < 10_000
    assert json.loads(path.read_bytes())["summary"]["result_omitted_bytes"] > 1 << 20


def test_without_the_option_there_is_no_report(tracker: JsonlTracker, folder: Path) -> None:
    tracker.finish("completed", {})
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.jsonl", "run.json"]
