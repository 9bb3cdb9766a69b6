"""The tracker `jsonl`: writes the lines and run.json, and at the end asks for the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flk.errors import ConfigError
from flk.hooks import impl
from flk.spi.records import Fact, Metric, RunRecord
from flk.spi.tracker import Tracker
from flk.world import RealWorld

from flk_tracker_jsonl.gather import Failure, Gathered
from flk_tracker_jsonl.lines import METRICS, LineFile, encode, plain, read_metrics, storage_error

__all__ = ["JsonlTracker"]

_MAX_FAILURES = 1_000
_MAX_ERROR = 2_000
_MAX_SUMMARY = 1 << 20


class JsonlTracker(Tracker):
    """Keeps a run in its folder: `metrics.jsonl`, `run.json` and, with `report`, `report.html`.

    ConfigError from `start` where the run has no folder; StorageError where the disk does not take
    what is written, after which the file still ends in a whole line.
    """

    _round: int | None

    def __init__(self, *, report: bool = True) -> None:
        self._report = report
        self._files = RealWorld().files
        self._run: RunRecord | None = None
        self._lines: LineFile | None = None
        self._forget()

    def start(self, run: RunRecord) -> None:
        if run.folder is None:
            raise ConfigError(
                "the tracker 'jsonl' has no run folder to write to",
                cure="Give the environment a folder, such as flk.env.sim(folder='work').",
                owner="jsonl",
            )
        self._forget()
        path = run.folder / METRICS
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            self._lines = LineFile(path)
        except OSError as error:
            raise storage_error("open", path, error) from error
        if self._report:
            for record in read_metrics(run.folder):
                self._gathered.add(record)
        self._run = run
        self._write_run(run.folder, "running", {})

    def log(self, records: Sequence[Metric | Fact]) -> None:
        if self._run is None or self._run.folder is None or self._lines is None:
            return
        try:
            self._lines.append(b"".join(map(encode, records)))
        except OSError as error:
            raise storage_error("write", self._run.folder / METRICS, error) from error
        if self._report:
            for record in records:
                self._gathered.add(record)

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        if self._run is None or self._run.folder is None or self._lines is None:
            return
        folder = self._run.folder
        try:
            self._lines.close()
        except OSError as error:
            raise storage_error("write", folder / METRICS, error) from error
        self._write_run(folder, status, summary)
        if self._report:
            from flk_tracker_jsonl.report import page

            self._write(
                folder / "report.html",
                page(self._run, status, summary, self._gathered, self._failures, self._failed),
            )

    @impl
    def flk_on_round_started(self, number: int) -> None:
        self._round = number

    @impl
    def flk_on_site_answered(self, function: str, site: str, error: str) -> None:
        if error:
            self._failed += 1
            if len(self._failures) < _MAX_FAILURES:
                self._failures.append(Failure(self._round, site, function, error[:_MAX_ERROR]))

    def _forget(self) -> None:
        self._gathered = Gathered()
        self._failures: list[Failure] = []
        self._failed = 0
        self._round = None

    def _write_run(self, folder: Path, status: str, summary: Mapping[str, Any]) -> None:
        run = self._run
        assert run is not None
        result = summary.get("result")
        told = {key: value for key, value in summary.items() if key != "result"}
        fields: dict[str, Any] = {
            "format": 1,
            "id": run.id,
            "job": run.job,
            "environment": run.environment,
            "sites": list(run.sites),
            "started": run.started,
            "seed": run.seed,
            "config": run.config,
            "status": status,
            "summary": told,
            "failed_answers": self._failed,
            "failures": [
                {"round": f.round, "site": f.site, "function": f.function, "error": f.error}
                for f in self._failures
            ],
        }
        if "result" in summary:
            text = json.dumps(plain(result))
            if len(text) <= _MAX_SUMMARY:
                told["result"] = result
            else:
                told["result_omitted_bytes"] = len(text)
        data = json.dumps(plain(fields), allow_nan=False, indent=1).encode("ascii")
        self._write(folder / "run.json", data + b"\n")

    def _write(self, path: Path, data: bytes) -> None:
        try:
            self._files.write(path, [data])
        except OSError as error:
            raise storage_error("write", path, error) from error
