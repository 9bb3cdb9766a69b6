"""Metrics of a run as TensorBoard event files.

Uses the record format and messages of the `tensorboard` package and nothing of TensorFlow; they are
imported when a run starts. It draws nothing: that is TensorBoard's.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flk.errors import ConfigError, StorageError
from flk.spi.records import Fact, Metric, RunRecord
from flk.spi.tracker import Tracker

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

__all__ = ["TensorBoardTracker", "folder_name"]

_MAX_NAME = 100
_MAX_TAG = 500
_MAX_TEXT = 64 * 1024


def folder_name(site: str) -> str:
    """The folder of a site: its name, percent-encoded where a file system might not take it; beyond
    100 characters shortened, with a digest of the whole name."""
    name = quote(site, safe=" @+,=()", errors="backslashreplace")
    if not name.strip(". ") or name.endswith((".", " ")) or name.startswith("."):
        name = name.replace(".", "%2E").replace(" ", "%20") or "%"
    if len(name) > _MAX_NAME:
        digest = hashlib.sha256(site.encode("utf-8", "backslashreplace")).hexdigest()[:16]
        name = f"{name[: _MAX_NAME - 17]}-{digest}"
    return name


class TensorBoardTracker(Tracker):
    """One sub-run a site below `<run folder>/tensorboard`, or below `folder` if it is given.

    ConfigError from `start` where there is neither; StorageError where the disk does not take what
    is written.
    """

    def __init__(self, *, folder: str | Path | None = None) -> None:
        self._option = folder
        self._folder: Path | None = None
        self._file = ""
        self._started = 0.0
        self._paths: dict[str, Path] = {}

    def start(self, run: RunRecord) -> None:
        if self._option is None and run.folder is None:
            raise ConfigError(
                "the tracker 'tensorboard' has no folder to write to",
                cure="Give the environment a folder, such as flk.env.sim(folder='work'), "
                "or the tracker the option folder.",
                owner="tensorboard",
            )
        import tensorboard.compat.proto.event_pb2
        import tensorboard.summary.writer.record_writer  # noqa: F401 - fails here, not in log

        base = Path(self._option) if self._option is not None else Path(run.folder or "")
        self._folder = base if self._option is not None else base / "tensorboard"
        self._started = run.started
        self._paths = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = _free_name(self._folder, int(run.started))
        except OSError as error:
            raise _storage_error(self._folder, error) from error

    def log(self, records: Sequence[Metric | Fact]) -> None:
        if self._folder is None:
            return
        events: dict[str, list[Event]] = {}
        for record in records:
            event = _scalar(record) if isinstance(record, Metric) else _text(record)
            events.setdefault(record.site, []).append(event)
        for site, some in events.items():
            self._append(site, some)

    def finish(self, status: str, summary: Mapping[str, Any]) -> None:
        for path in self._paths.values():
            try:
                fd = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
            except OSError as error:
                raise _storage_error(path, error) from error

    def _append(self, site: str, events: list[Event]) -> None:
        """Add to the site's file; after an error it ends where it ended before."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self._folder is not None
        path = self._paths.get(site)
        buffer = BytesIO()
        writer = RecordWriter(buffer)
        if path is None:
            path = self._folder / folder_name(site) / self._file
            version = Event(wall_time=self._started, file_version="brain.Event:2")
            writer.write(version.SerializeToString())
        for event in events:
            writer.write(event.SerializeToString())
        try:
            path.parent.mkdir(exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                _write(fd, buffer.getbuffer())
            finally:
                os.close(fd)
        except OSError as error:
            raise _storage_error(path, error) from error
        self._paths[site] = path


def _write(fd: int, data: memoryview) -> None:
    size = os.fstat(fd).st_size
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        with suppress(OSError):  # the first error is the one to report
            os.ftruncate(fd, size)
        raise


def _free_name(folder: Path, started: int) -> str:
    """A file name that no earlier run used in this folder; TensorBoard reads them in order of their
    names."""
    taken = {path.name for path in folder.glob("*/events.out.tfevents.*")}
    names = (f"events.out.tfevents.{started:010d}.flk.{n:04d}" for n in itertools.count())
    return next(name for name in names if name not in taken)


def _scalar(record: Metric) -> Event:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    value = Summary.Value(tag=_tag(record.name), simple_value=float(record.value))
    return Event(
        wall_time=record.time,
        step=min(max(record.step, -(1 << 63)), (1 << 63) - 1),
        summary=Summary(value=[value]),
    )


def _text(record: Fact) -> Event:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    told = record.value
    text = told if isinstance(told, str) else json.dumps(told, indent=1, default=str)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    tensor = TensorProto(
        dtype=DT_STRING,
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        string_val=[text.encode("utf-8", "backslashreplace")[:_MAX_TEXT]],
    )
    value = Summary.Value(tag=_tag(record.name), metadata=metadata, tensor=tensor)
    return Event(wall_time=record.time, step=0, summary=Summary(value=[value]))


def _tag(name: str) -> str:
    """Text that the format takes: without lone surrogates, and not endless."""
    short = name if len(name) <= _MAX_TAG else name[: _MAX_TAG - 3] + "..."
    return short.encode("utf-8", "backslashreplace").decode("utf-8")


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror or error}",
        cure="Free space on the disk, or choose another run folder.",
        owner="tensorboard",
    )
