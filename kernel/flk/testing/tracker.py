"""What every tracker must do. Not for how its records look: only for what comes back from them."""

from __future__ import annotations

import copy
import math
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flk.spi.records import Fact, Metric, RunRecord
from flk.spi.tracker import Tracker

__all__ = ["Row", "TrackerSuite"]

Row = tuple[str, str, int, float]
"""Site, name, step, value."""

HOSTILE = (
    "<script>alert(1)</script>",
    "../../outside",
    "/outside",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "quo\"te's",
    "line\nbreak\ttab",
    "\x1b[31mred\x00",
    "ünïcode 数字 🦊",
    "CON",
    "%2e%2e",
    "{x} %s {{",
    "n" * 300,
)
LONGEST_CALL = 5.0
"""Seconds after which the kernel drops a tracker (see its contract)."""


class TrackerSuite(ABC):
    """Override `make` and `read_back`. Each test has a folder of its own for its run folders."""

    @abstractmethod
    def make(self) -> Tracker:
        """A new tracker, with the options of a user who wrote none."""

    @abstractmethod
    def read_back(self, folder: Path) -> list[Row]:
        """The metrics that are to be found for the run of this folder, by somebody who knows
        nothing of the tracker that wrote them; those of one site and name in the order of
        logging. Values may have been rounded to single precision, but for NaN and the infinities,
        which may also be missing."""

    def setup_method(self) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="flk-tracker-")
        self.place = Path(self._place.name).resolve()

    def teardown_method(self) -> None:
        self._place.cleanup()

    # life -----------------------------------------------------------------------------------------

    def test_creation_starts_and_writes_nothing(self) -> None:
        before = set(threading.enumerate())
        trackers = [self.make(), self.make()]
        assert set(threading.enumerate()) <= before, "a thread was started before start()"
        assert all(isinstance(tracker, Tracker) for tracker in trackers)
        assert list(self.place.iterdir()) == []

    def test_each_making_gives_a_tracker_of_its_own(self) -> None:
        assert self.make() is not self.make()

    def test_a_run_without_records_can_finish(self) -> None:
        run = self.run()
        tracker = self.make()
        tracker.start(run)
        tracker.finish("completed", {})
        assert self.rows(run) == []

    def test_an_empty_batch_is_no_error(self) -> None:
        run = self.run()
        rows = [("server", "loss", 0, 0.5)]
        self.whole(run, [[], metrics(rows), []])
        self.expect(run, rows)

    def test_a_failed_or_aborted_run_is_kept_as_well(self) -> None:
        for status in ("failed", "aborted"):
            run = self.run(status)
            rows = [("site-1", "loss", 0, 1.5), ("site-1", "loss", 1, 1.25)]
            summary = {"seconds": 1.0, "rounds": 1, "error": "site-1 went away", "dropped": 3}
            self.whole(run, [metrics(rows)], status, summary)
            self.expect(run, rows)

    def test_the_methods_may_be_called_in_another_thread_than_made_it(self) -> None:
        run = self.run()
        tracker = self.make()
        rows = [("site-1", "loss", 0, 1.0)]
        errors: list[BaseException] = []

        def whole() -> None:
            try:
                tracker.start(run)
                tracker.log(metrics(rows))
                tracker.finish("completed", {})
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=whole, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "still busy after a minute"
        assert errors == []
        self.expect(run, rows)

    def test_no_thread_of_its_own_outlives_the_run(self) -> None:
        before = set(threading.enumerate())
        self.whole(self.run(), [metrics([("site-1", "loss", 0, 1.0)])])
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} is alive after finish()"

    def test_a_run_that_was_killed_can_start_again_in_its_folder(self) -> None:
        run = self.run()
        killed = self.make()
        killed.start(run)
        killed.log(metrics([("site-1", "loss", 0, 2.0)]))
        again = [("site-1", "loss", 1, 1.0), ("site-1", "loss", 2, 0.5)]
        self.whole(run, [metrics(again)])
        found = self.rows(run)
        assert [row for row in found if row[2] > 0] == again
        del killed

    # records --------------------------------------------------------------------------------------

    def test_what_was_logged_is_durable_when_finish_returns(self) -> None:
        run = self.run()
        rows = [
            (site, name, step, step + 0.25 * index)
            for step in range(4)
            for index, site in enumerate(("server", "site-1", "site-2", "site-10"))
            for name in ("loss", "accuracy")
        ]
        tracker = self.make()
        tracker.start(run)
        for start in range(0, len(rows), 5):
            tracker.log(metrics(rows[start : start + 5]))
        tracker.finish("completed", {"seconds": 1.0, "rounds": 4})
        self.expect(run, rows)  # the tracker is alive: nothing was left to its end
        del tracker

    def test_a_series_keeps_its_order_whatever_its_steps(self) -> None:
        run = self.run()
        steps = (0, 3, 7, 2**31 + 1)
        rows = [("site-1", "loss", step, 1.0 - i / 8) for i, step in enumerate(steps)]
        batch = [Metric(name, value, site, None, step, 1.0) for site, name, step, value in rows]
        self.whole(run, [batch])
        self.expect(run, rows)

    def test_values_that_are_not_finite_do_no_harm_to_their_neighbours(self) -> None:
        run = self.run()
        odd = [math.nan, math.inf, -math.inf]
        finite = [0.0, -1.5, 3.0e37, 1.0e-30]
        values = [v for pair in zip(finite, [*odd, math.nan], strict=True) for v in pair]
        rows = [("site-1", "loss", step, value) for step, value in enumerate(values)]
        self.whole(run, [metrics(rows)])
        found = {step: value for _, _, step, value in self.rows(run)}
        for _, _, step, value in rows:
            if math.isfinite(value):
                assert math.isclose(found[step], value, rel_tol=1e-6, abs_tol=1e-38)
            elif step in found:
                assert repr(found[step]) == repr(value)

    def test_integers_and_booleans_count_as_numbers(self) -> None:
        run = self.run()
        self.whole(run, [metrics([("site-1", "n", 0, 3), ("site-1", "n", 1, True)])])
        self.expect(run, [("site-1", "n", 0, 3.0), ("site-1", "n", 1, 1.0)])

    def test_names_of_metrics_may_be_anything(self) -> None:
        run = self.run()
        rows = [("site-1", f"m{i} {name}", i, float(i)) for i, name in enumerate(HOSTILE)]
        self.whole(run, [metrics(rows)])
        assert sorted(row[2:] for row in self.rows(run)) == [row[2:] for row in rows]

    def test_names_of_sites_may_be_anything_and_lead_nowhere_else(self) -> None:
        run = self.run("deep/inside/run")
        rows = [(site, "loss", i, float(i)) for i, site in enumerate(HOSTILE)]
        self.whole(run, [metrics(rows), [Fact("labels", {"a": 1}, s, 1.0) for s in HOSTILE]])
        found = self.rows(run)
        assert sorted(row[2:] for row in found) == [row[2:] for row in rows]
        assert len({row[0] for row in found}) == len(HOSTILE), "two sites became one"
        outside = [path for path in self.place.rglob("*") if path.is_file()]
        assert [path for path in outside if run.folder not in path.parents] == []

    def test_facts_are_taken_beside_metrics(self) -> None:
        run = self.run()
        values: list[Any] = [
            {"0": 12, "1": 3},
            "text <b>",
            None,
            True,
            -3,
            2.5,
            [1, [2, {"a": None}]],
            {},
            "long " * 10_000,
        ]
        facts = [Fact(f"fact-{i}", value, "site-1", 1.0) for i, value in enumerate(values)]
        rows = [("site-1", "loss", 0, 0.5)]
        self.whole(run, [facts, metrics(rows), facts])
        self.expect(run, rows)

    def test_a_summary_with_any_plain_result_is_taken(self) -> None:
        results: list[Any] = [
            None,
            0.5,
            math.nan,
            "text",
            [1, 2],
            {"accuracy": 0.9, "loss": math.inf},
            {"federated": {"accuracy": 0.9}, "</script>": {"é": 1}},
            {"weights": [0.5] * 1000},
        ]
        for index, result in enumerate(results):
            run = self.run(f"run-{index}")
            rows = [("server", "loss", 0, 0.5)]
            self.whole(run, [metrics(rows)], "completed", {"seconds": 0.1, "result": result})
            self.expect(run, rows)

    # manners --------------------------------------------------------------------------------------

    def test_arguments_are_left_as_they_were(self) -> None:
        config = {"lr": 0.1, "layers": [1, 2]}
        summary: dict[str, Any] = {"seconds": 1.0, "rounds": 1, "result": {"accuracy": [0.5]}}
        run = self.run(config=MappingProxyType(config))
        records: list[Metric | Fact] = [
            Metric("loss", 0.5, "site-1", 0, 0, 1.0),
            Fact("labels", {"b": 1, "a": [2]}, "site-1", 1.0),
        ]
        before = copy.deepcopy((config, summary, records))
        self.whole(run, [records], "completed", MappingProxyType(summary))
        assert (config, summary, records) == before

    def test_a_batch_may_be_emptied_by_its_owner_after_log(self) -> None:
        run = self.run()
        rows = [("site-1", "loss", step, step / 2) for step in range(3)]
        batch = metrics(rows)
        tracker = self.make()
        tracker.start(run)
        tracker.log(batch)
        batch.clear()
        tracker.finish("completed", {})
        self.expect(run, rows)

    def test_two_runs_at_once_stay_apart(self) -> None:
        runs = [self.run("one"), self.run("two")]
        trackers = [self.make(), self.make()]
        rows = [[("site-1", "loss", step, 10.0 * i + step) for step in range(3)] for i in range(2)]
        for tracker, run in zip(trackers, runs, strict=True):
            tracker.start(run)
        for step in range(3):
            for tracker, own in zip(trackers, rows, strict=True):
                tracker.log(metrics(own[step : step + 1]))
        trackers[0].finish("completed", {})
        trackers[1].finish("aborted", {})
        for run, own in zip(runs, rows, strict=True):
            self.expect(run, own)

    def test_nothing_is_written_to_standard_output(self) -> None:
        with redirect_stdout(StringIO()) as printed:
            self.whole(self.run(), [metrics([("site-1", "loss", 0, 1.0)])])
        assert printed.getvalue() == ""

    def test_many_records_are_taken_without_being_dropped(self) -> None:
        run = self.run()
        rows = [(f"site-{i % 50}", "loss", i // 50, i / 7) for i in range(10_000)]
        tracker = self.make()
        self.in_time(lambda: tracker.start(run))
        for start in range(0, len(rows), 500):
            batch = metrics(rows[start : start + 500])
            self.in_time(lambda batch=batch: tracker.log(batch))  # type: ignore[misc]
        self.in_time(lambda: tracker.finish("completed", {"rounds": 200, "seconds": 1.0}))
        self.expect(run, rows)

    # help -----------------------------------------------------------------------------------------

    def run(self, name: str = "run", config: Mapping[str, Any] | None = None) -> RunRecord:
        """A run with a folder below the test's own."""
        folder = self.place / name
        folder.mkdir(parents=True)
        sites = ("site-1", "site-2", "site-10")
        return RunRecord(f"id-{name}", "digits", "sim", sites, folder, 1.7e9, 0, config)

    def whole(
        self,
        run: RunRecord,
        batches: Sequence[Sequence[Metric | Fact]],
        status: str = "completed",
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        """A new tracker sees a run from its start to its end."""
        tracker = self.make()
        tracker.start(run)
        for batch in batches:
            tracker.log(batch)
        tracker.finish(status, {"seconds": 1.0} if summary is None else summary)

    def rows(self, run: RunRecord) -> list[Row]:
        assert run.folder is not None
        return self.read_back(run.folder)

    def expect(self, run: RunRecord, rows: Sequence[Row]) -> None:
        """Exactly these rows are found, each series in its order."""
        found, wanted = _series(self.rows(run)), _series(rows)
        assert found.keys() == wanted.keys()
        for key, points in wanted.items():
            assert [step for step, _ in found[key]] == [step for step, _ in points], key
            for (_, value), (step, expected) in zip(found[key], points, strict=True):
                assert math.isclose(value, expected, rel_tol=1e-6, abs_tol=1e-30), (key, step)

    def in_time(self, call: Callable[[], object]) -> None:
        start = time.monotonic()
        call()
        assert time.monotonic() - start < LONGEST_CALL, "the kernel would have dropped it"


def metrics(rows: Sequence[Row]) -> list[Metric | Fact]:
    return [Metric(name, value, site, step, step, 1.7e9) for site, name, step, value in rows]


def _series(rows: Sequence[Row]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    series: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for site, name, step, value in rows:
        series.setdefault((site, name), []).append((step, value))
    return series
