"""The suite for trackers passes a right tracker and names the fault of wrong ones."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from flk.spi.records import Fact, Metric, RunRecord
from flk.spi.tracker import Tracker
from flk.testing import failing
from flk.testing.tracker import Row, TrackerSuite


class LineTracker(Tracker):
    """Right: a JSON line a metric."""

    def __init__(self) -> None:
        self.path: Path | None = None

    def start(self, run: RunRecord) -> None:
        assert run.folder is not None
        self.path = run.folder / "lines"
        self.path.touch()

    def log(self, records: Sequence[Metric | Fact]) -> None:
        assert self.path is not None
        with open(self.path, "a", encoding="ascii") as file:
            for record in records:
                if isinstance(record, Metric):
                    row = [record.site, record.name, record.step, float(record.value)]
                    file.write(json.dumps(row) + "\n")

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        pass


def read_lines(folder: Path) -> list[Row]:
    lines = (folder / "lines").read_text("ascii").splitlines()
    return [tuple(json.loads(line)) for line in lines]


class KeepsTheBatch(LineTracker):
    def start(self, run: RunRecord) -> None:
        super().start(run)
        self.batches: list[Sequence[Metric | Fact]] = []

    def log(self, records: Sequence[Metric | Fact]) -> None:
        self.batches.append(records)

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        for batch in self.batches:
            super().log(batch)


class WritesWhenItIsTooLate(LineTracker):
    def start(self, run: RunRecord) -> None:
        super().start(run)
        self.kept: list[Metric | Fact] = []

    def log(self, records: Sequence[Metric | Fact]) -> None:
        self.kept += records

    def __del__(self) -> None:
        if self.path is not None and self.path.parent.exists():
            super().log(self.kept)


class RefusesNaN(LineTracker):
    def log(self, records: Sequence[Metric | Fact]) -> None:
        for record in records:
            if isinstance(record, Metric) and math.isnan(record.value):
                raise ValueError("not a number")
        super().log(records)


class TakesNamesForPaths(LineTracker):
    def log(self, records: Sequence[Metric | Fact]) -> None:
        super().log(records)
        for record in records:
            if record.site.startswith(".."):
                assert self.path is not None
                (self.path.parent / record.site).mkdir(parents=True, exist_ok=True)
                (self.path.parent / record.site / "metric").touch()


class WritesUnquoted(LineTracker):
    def log(self, records: Sequence[Metric | Fact]) -> None:
        assert self.path is not None
        with open(self.path, "a", encoding="utf-8") as file:
            for record in records:
                if isinstance(record, Metric):
                    row = f'["{record.site}", "{record.name}", {record.step}, {record.value}]'
                    file.write(row.replace("nan", "NaN").replace("inf", "Infinity") + "\n")


class EatsTheSummary(LineTracker):
    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        if isinstance(summary, dict):
            summary.clear()
        for value in summary.values():
            if isinstance(value, dict):
                value.clear()


class SortsTheBatch(LineTracker):
    def log(self, records: Sequence[Metric | Fact]) -> None:
        assert isinstance(records, list)
        records.sort(key=lambda record: (record.name, record.time))
        super().log(records)


class SharesItsPath(LineTracker):
    paths: list[Path] = []  # noqa: RUF012 - the fault

    def start(self, run: RunRecord) -> None:
        super().start(run)
        assert self.path is not None
        SharesItsPath.paths.append(self.path)

    def log(self, records: Sequence[Metric | Fact]) -> None:
        self.path = SharesItsPath.paths[-1]
        super().log(records)


class StartsAThreadTooEarly(LineTracker):
    def __init__(self) -> None:
        super().__init__()
        self.stop = threading.Event()
        threading.Thread(target=self.stop.wait, daemon=True).start()

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        self.stop.set()

    def __del__(self) -> None:
        self.stop.set()


class BelongsToAThread(LineTracker):
    def __init__(self) -> None:
        super().__init__()
        self.base = sqlite3.connect(":memory:")

    def log(self, records: Sequence[Metric | Fact]) -> None:
        self.base.execute("SELECT 1")
        super().log(records)

    def __del__(self) -> None:
        self.base.close()


class Talks(LineTracker):
    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        print(f"run {status}")


class ForgetsFailedRuns(LineTracker):
    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        assert self.path is not None
        if status != "completed":
            self.path.write_text("")


class TakesOnlyNumbersForFacts(LineTracker):
    def log(self, records: Sequence[Metric | Fact]) -> None:
        for record in records:
            if isinstance(record, Fact):
                float(record.value)
        super().log(records)


class RoundsSteps(LineTracker):
    def log(self, records: Sequence[Metric | Fact]) -> None:
        super().log(
            [
                Metric(r.name, r.value, r.site, r.round, r.step % 2**31, r.time)
                for r in records
                if isinstance(r, Metric)
            ]
        )


class RefusesToStartAgain(LineTracker):
    def start(self, run: RunRecord) -> None:
        assert run.folder is not None
        (run.folder / "lines").touch(exist_ok=False)
        super().start(run)


class WritesTheSummaryAsText(LineTracker):
    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        assert self.path is not None
        with open(self.path.parent / "summary", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(summary.get("result", []))


def suite(tracker: type[Tracker]) -> type[TrackerSuite]:
    class Suite(TrackerSuite):
        def make(self) -> Tracker:
            return tracker()

        def read_back(self, folder: Path) -> list[Row]:
            return read_lines(folder)

    return Suite


def test_a_right_tracker_passes() -> None:
    assert failing(suite(LineTracker)) == {}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (KeepsTheBatch, "test_a_batch_may_be_emptied_by_its_owner_after_log"),
        (WritesWhenItIsTooLate, "test_what_was_logged_is_durable_when_finish_returns"),
        (RefusesNaN, "test_values_that_are_not_finite_do_no_harm_to_their_neighbours"),
        (TakesNamesForPaths, "test_names_of_sites_may_be_anything_and_lead_nowhere_else"),
        (WritesUnquoted, "test_names_of_metrics_may_be_anything"),
        (EatsTheSummary, "test_arguments_are_left_as_they_were"),
        (SortsTheBatch, "test_arguments_are_left_as_they_were"),
        (SharesItsPath, "test_two_runs_at_once_stay_apart"),
        (StartsAThreadTooEarly, "test_creation_starts_and_writes_nothing"),
        (BelongsToAThread, "test_the_methods_may_be_called_in_another_thread_than_made_it"),
        (Talks, "test_nothing_is_written_to_standard_output"),
        (ForgetsFailedRuns, "test_a_failed_or_aborted_run_is_kept_as_well"),
        (TakesOnlyNumbersForFacts, "test_facts_are_taken_beside_metrics"),
        (RoundsSteps, "test_a_series_keeps_its_order_whatever_its_steps"),
        (RefusesToStartAgain, "test_a_run_that_was_killed_can_start_again_in_its_folder"),
        (WritesTheSummaryAsText, "test_a_summary_with_any_plain_result_is_taken"),
    ],
)
def test_a_fault_is_found_by_the_test_that_names_it(faulty: type[Tracker], test: str) -> None:
    assert test in failing(suite(faulty))
