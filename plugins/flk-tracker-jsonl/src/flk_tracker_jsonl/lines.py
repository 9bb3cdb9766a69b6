"""metrics.jsonl: records to lines and back, and a file that only grows by whole lines. Knows
nothing of runs or reports."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flk.errors import StorageError
from flk.spi.records import Fact, Metric

__all__ = ["METRICS", "LineFile", "decode", "encode", "plain", "read_metrics", "storage_error"]

METRICS = "metrics.jsonl"

_MAX_LINE = 64 * 1024
_MAX_TEXT = 500
_MAX_DEPTH = 32
_BLOCK = 64 * 1024


def encode(record: Metric | Fact) -> bytes:
    """One line, ASCII, with its newline, of at most 64 KiB. A fact that needs more is written
    without its value, with `omitted` for its size in bytes."""
    fields: dict[str, Any] = {
        "kind": "metric",
        "name": _short(record.name),
        "site": _short(record.site),
        "time": plain(float(record.time)),
    }
    if isinstance(record, Metric):
        fields |= {
            "value": plain(float(record.value)),
            "round": record.round,
            "step": int(record.step),
        }
        return _line(fields)
    fields |= {"kind": "fact", "value": plain(record.value)}
    line = _line(fields)
    if len(line) > _MAX_LINE:
        line = _line(fields | {"value": None, "omitted": len(line)})
    return line


def decode(line: bytes) -> Metric | Fact:
    """The record of one line. ValueError if it is none."""
    try:
        fields = json.loads(line)
        name, site, time = str(fields["name"]), str(fields["site"]), float(fields["time"])
        if fields["kind"] == "fact":
            return Fact(name, fields["value"], site, time)
        number, step = fields["round"], int(fields["step"])
        return Metric(
            name, float(fields["value"]), site, None if number is None else int(number), step, time
        )
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no metric and no fact: {error}") from error


def read_metrics(folder: str | Path) -> Iterator[Metric | Fact]:
    """The records of a run folder in the order in which they were logged; none if nothing was
    logged yet. A last line that is only half there is left out. StorageError on anything else that
    is not a record, or where the file cannot be read."""
    path = Path(folder, METRICS)
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE + 1):
                number += 1
                if not line.endswith(b"\n") and len(line) <= _MAX_LINE:
                    return
                try:
                    yield decode(line)
                except ValueError as error:
                    raise StorageError(
                        f"line {number} of {path} is not a metric or fact",
                        cure="Remove the line, or move the file away and run again.",
                        owner="jsonl",
                    ) from error
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error("read", path, error) from error


class LineFile:
    """A file of lines that survives a killed process: opening cuts off a half-written last line,
    an append that fails leaves no half line. OSError as the system raises it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            size = os.fstat(self._fd).st_size
            self._size = _end_of_last_line(self._fd, size)
            if self._size < size:
                os.ftruncate(self._fd, self._size)
        except OSError:
            os.close(self._fd)
            raise

    def append(self, lines: bytes) -> None:
        """Hand whole lines to the operating system."""
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to report
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(lines)

    def close(self) -> None:
        """Wait until everything survives a power cut. Idempotent."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def plain(value: Any, depth: int = 0) -> Any:
    """A copy that `json.dumps(allow_nan=False)` accepts: floats that are not finite become the
    strings `NaN`, `Infinity`, `-Infinity`, unknown objects and what is nested deeper than 32 their
    short text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [plain(item, depth + 1) for item in value]
    return _short(str(value)) if depth < _MAX_DEPTH else "..."


def storage_error(action: str, path: Path, error: OSError) -> StorageError:
    """What to raise for an OSError."""
    return StorageError(
        f"cannot {action} {path}: {error.strerror or error}",
        cure="Choose another run folder, or make room or give the right to write there",
        owner="jsonl",
    )


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."


def _end_of_last_line(fd: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
