"""Progress as a display that rich redraws in place. Imported only when a run is to be shown."""

from __future__ import annotations

import atexit
import sys
import time
from datetime import timedelta
from threading import Lock
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flk_observer_progress.plain import ending
from flk_observer_progress.view import MAX_ROWS, Phase, RunView, SiteView, clean, metrics_text

__all__ = ["LiveDisplay", "draw"]

_PER_SECOND = 8
_BAR = 30
_RECENT = 3


class LiveDisplay:
    """Draws all open runs below one another on one console, from the first `opened` to the last
    `closed`, or to the end of the process."""

    def __init__(self, stream: TextIO, *, force: bool = False) -> None:
        self.console = Console(file=stream, force_terminal=True if force else None)
        self._lock = Lock()
        self._views: list[RunView] = []
        self._live: Live | None = None

    def opened(self, view: RunView) -> None:
        with self._lock:
            self._views.append(view)
            if self._live is None:
                self._live = self._start()

    def committed(self, view: RunView) -> None:
        """The next redraw shows it."""

    def closed(self, view: RunView) -> None:
        with self._lock:
            if view in self._views:
                self._views.remove(view)
            last, live = not self._views, self._live
        if last:
            self.stop()
        elif live is not None:
            live.refresh()
        with view.lock:
            lines = ending(view)
            good = view.status == "completed"
        for index, line in enumerate(lines):
            style = "red" if index else "green" if good else "bold red"
            self.console.print(Text(line, style=style), soft_wrap=True)

    def stop(self) -> None:
        """Take the display away and give the terminal back. Idempotent."""
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            atexit.unregister(self.stop)
            live.stop()

    def _start(self) -> Live:
        live = Live(
            console=self.console,
            get_renderable=self._render,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )
        atexit.register(self.stop)
        live.start()
        self.console.show_cursor(True)  # a killed process cannot give it back
        return live

    def _render(self) -> RenderableType:
        views = list(self._views)
        return Group(*(draw(view, self.console) for view in views))


def draw(view: RunView, console: Console) -> RenderableType:
    """A run at this moment."""
    with view.lock:
        parts: list[RenderableType] = [_head(view)]
        if view.few and view.count + 2 <= console.height:
            parts.append(_rows(view, console))
        elif view.count:
            parts.append(_crowd(view))
            for name, site in view.failing()[:_RECENT]:
                line = f"  {name}: {site.error}"
                parts.append(Text(line, style="red", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _head(view: RunView) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(5):
        line.add_column(no_wrap=True, overflow="ellipsis")
    of = f"/{view.total}" if view.total else ""
    elapsed = timedelta(seconds=int(time.monotonic() - view.begun))
    line.add_row(
        Text(view.name, style="bold"),
        _bar(view.total, view.committed),
        Text(f"round {max(view.round + 1, view.committed)}{of}"),
        Text(str(elapsed), style="dim"),
        Text(metrics_text(view.metrics), style="cyan"),
    )
    return line


def _rows(view: RunView, console: Console) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    for _ in range(2):
        table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if _unicode(console) else "|/-\\"
    turning = frames[int(time.monotonic() * _PER_SECOND) % len(frames)]
    for name, site in list(view.sites.items())[:MAX_ROWS]:
        if site.phase is Phase.WORKING:
            mark, told = Text(turning, style="cyan"), Text(view.function, style="cyan")
        elif site.phase is Phase.DONE:
            mark = Text("✓" if _unicode(console) else "+", style="green")
            told = Text(f"{site.seconds:.2f} s")
        elif site.phase is Phase.FAILED:
            mark = Text("✗" if _unicode(console) else "x", style="red")
            told = Text("failed", style="red")
        else:
            mark, told = Text(" "), Text("waiting", style="dim")
        table.add_row(mark, clean(name, 24), told, _beside(site))
    return table


def _beside(site: SiteView) -> Text:
    if site.phase is Phase.FAILED:
        return Text(site.error, style="red")
    return Text(metrics_text(site.metrics), style="dim")


def _crowd(view: RunView) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        line.add_column(no_wrap=True, overflow="ellipsis")
    total = view.called or view.count
    told = Text(f"{view.answered:,}/{total:,} sites")
    if view.failed:
        told.append(f", {view.failed:,} failed", style="red")
    line.add_row(
        Text(view.function or "waiting", style="dim"),
        _bar(total, view.answered + view.failed),
        told,
    )
    return line


def _bar(total: int, completed: int) -> ProgressBar:
    """Moving to and fro where the total is not known."""
    return ProgressBar(
        total=total or None,
        completed=completed,
        width=_BAR,
        pulse=not total,
        complete_style="cyan",
        finished_style="green",
        pulse_style="cyan",
    )


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
