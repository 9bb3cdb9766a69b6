"""Measurements behind docs/performance.md. `python -m tests.bench` runs every module of this
package in a process of its own and prints one table.

A module measures when it is run, and reports through `row`. What it compares with is measured in
the same run: a figure is a ratio, never a time. A peer that is not installed is `skipped`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["resident", "row", "skipped"]


def row(what: str, value: float, *, unit: str = "x", aim: str = "") -> None:
    """Report one figure. `aim` is what is claimed: `>= 0.8`, `< 1.2`; empty for a figure that is
    only for orientation."""
    print(json.dumps({"what": what, "value": value, "unit": unit, "aim": aim}), flush=True)


def skipped(what: str, why: str) -> None:
    """Report that a figure could not be had here."""
    print(json.dumps({"what": what, "why": why}), flush=True)


@contextmanager
def resident() -> Iterator[Callable[[], int]]:
    """Gives bytes of resident memory at the highest point inside, above the start."""
    stop, highest, start = threading.Event(), [0], _resident()

    def watch() -> None:
        while not stop.wait(0.001):
            highest[0] = max(highest[0], _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: max(0, highest[0] - start)
    finally:
        highest[0] = max(highest[0], _resident())
        stop.set()
        watcher.join()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
