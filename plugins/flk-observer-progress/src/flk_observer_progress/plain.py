"""Progress as lines of text, one a committed round."""

from __future__ import annotations

from typing import TextIO

from flk_observer_progress.view import RunView, metrics_text, number

__all__ = ["PlainDisplay", "ending"]

_MAX_FAILING = 10


class PlainDisplay:
    """Writes to a stream; OSError or ValueError as that raises it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def opened(self, view: RunView) -> None:
        self._line(f"{view.name}: started with {view.count} site{'' if view.count == 1 else 's'}")

    def committed(self, view: RunView) -> None:
        with view.lock:
            of = f"/{view.total}" if view.total else ""
            failed = f", {view.failed} failed" if view.failed else ""
            metrics = f"  {metrics_text(view.metrics)}" if view.metrics else ""
            line = f"{view.name}: round {view.committed}{of}, {view.answered} answered{failed}"
        self._line(line + metrics)

    def closed(self, view: RunView) -> None:
        with view.lock:
            lines = ending(view)
        for line in lines:
            self._line(line)

    def stop(self) -> None:
        """Nothing to give back."""

    def _line(self, line: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        text = line.encode(encoding, "backslashreplace").decode(encoding)
        self._stream.write(text + "\n")
        self._stream.flush()


def ending(view: RunView) -> list[str]:
    """How a run ended, then a line for each site that failed. For who holds the lock."""
    rounds = f"{view.committed} round{'' if view.committed == 1 else 's'}"
    metrics = f"  {metrics_text(view.metrics)}" if view.metrics else ""
    lines = [f"{view.name}: {view.status}, {rounds}, {number(view.seconds)} s{metrics}"]
    if view.error:
        lines.append(f"  {view.error}")
    failing = view.failing()
    for name, site in failing[:_MAX_FAILING]:
        times = f" {site.failures} times, at last" if site.failures > 1 else ""
        lines.append(f"  {name} failed{times}: {site.error}")
    if len(failing) > _MAX_FAILING:
        lines.append(f"  and {len(failing) - _MAX_FAILING} more sites failed")
    return lines
