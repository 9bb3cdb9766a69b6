"""On a real pseudo-terminal: something is drawn, output passes, and the terminal is given back
however the process ends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
PATIENCE = 30.0

START = """
import os, sys, time
from flk.spi.records import Metric, RunRecord
from flk_observer_progress import ProgressObserver
observer = ProgressObserver()
run = RunRecord("r1", "digits", "sim", ("site-1", "site-2"), None, 1.7e9, 0)
observer.flk_on_run_started(run)
observer.flk_on_round_started(run, 0, 3)
observer.flk_on_call_started(run, "train", run.sites)
observer.flk_on_site_answered(run, "site-2", "broken disk", 0.1)
observer.flk_on_metrics(run, [Metric("accuracy", 0.625, "server", 0, 0, 1.0)])
"""
WAIT = "sys.stdin.readline()\n"


@dataclass
class Terminal:
    """A child on a terminal of 30 lines by 100 columns."""

    process: subprocess.Popen[bytes]
    fd: int
    seen: str = ""
    _rest: bytes = field(default=b"", repr=False)

    def until(self, wanted: Callable[[str], bool]) -> str:
        """Read until `wanted` holds for everything seen; fails at the end of the output."""
        deadline = time.monotonic() + PATIENCE
        while not wanted(self.seen):
            assert self._read(deadline), f"the output ended: {self.seen!r}"
        return self.seen

    def end(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        self.process.wait(PATIENCE)
        return self.seen

    def enter(self) -> None:
        os.write(self.fd, b"\n")

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing came in time; so far: {self.seen!r}"
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # how Linux tells that the other end is closed
            return False
        self._rest += data
        self.seen = self._rest.decode("utf-8", "replace")
        return bool(data)


@pytest.fixture
def open_terminal() -> Iterator[Callable[[str], Terminal]]:
    opened: list[Terminal] = []

    def start(script: str) -> Terminal:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FLK_")}
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        )
        os.close(theirs)
        opened.append(Terminal(process, ours))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.fd)


def text(seen: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)


def cursor_is_shown(seen: str) -> bool:
    return seen.rfind(SHOW) >= seen.rfind(HIDE)


def test_round_sites_failures_and_metrics_are_drawn(
    open_terminal: Callable[[str], Terminal],
) -> None:
    terminal = open_terminal(START + WAIT)
    seen = terminal.until(lambda seen: "accuracy 0.625" in text(seen) and "broken" in text(seen))
    for told in ("digits", "round 1/3", "site-1", "train", "site-2", "failed", "broken disk"):
        assert told in text(seen)


def test_a_finished_run_takes_the_display_away(open_terminal: Callable[[str], Terminal]) -> None:
    script = START + WAIT + "observer.flk_on_run_finished(run, 'completed', '', 1.5)\n"
    terminal = open_terminal(script)
    terminal.until(lambda seen: "accuracy 0.625" in text(seen))
    terminal.enter()
    seen = terminal.end()
    assert cursor_is_shown(seen)
    last = text(seen[seen.rindex("\x1b[2K") :])
    assert "digits: completed" in last and "round 1/3" not in last
    assert last.endswith("\n")


def test_what_a_script_prints_stays_above(open_terminal: Callable[[str], Terminal]) -> None:
    end = "observer.flk_on_run_finished(run, 'completed', '', 1.5)\n"
    seen = open_terminal(START + "print('hello from a site')\n" + end + "print('after')\n").end()
    assert "hello from a site\r\n" in text(seen)
    assert text(seen).endswith("after\r\n")


@pytest.mark.parametrize(
    "last",
    [
        "raise RuntimeError('broken')\n",
        "raise SystemExit(3)\n",
        "raise KeyboardInterrupt\n",
    ],
)
def test_an_exception_that_ends_the_process_gives_the_terminal_back(
    open_terminal: Callable[[str], Terminal], last: str
) -> None:
    terminal = open_terminal(START + WAIT + last)
    terminal.until(lambda seen: "accuracy 0.625" in text(seen))
    terminal.enter()
    seen = terminal.end()
    assert cursor_is_shown(seen)
    assert "\x1b[2K" in seen[seen.rindex("accuracy 0.625") :], "the display was left behind"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_ended_by_a_signal_leaves_a_shown_cursor(
    open_terminal: Callable[[str], Terminal], number: signal.Signals
) -> None:
    terminal = open_terminal(START + WAIT)
    terminal.until(lambda seen: "accuracy 0.625" in text(seen))
    terminal.process.send_signal(number)
    assert cursor_is_shown(terminal.end())


def test_standard_output_in_a_pipe_is_not_drawn_into(
    open_terminal: Callable[[str], Terminal],
) -> None:
    end = "observer.flk_on_run_finished(run, 'completed', '', 1.5)\n"
    inner = START + "print('{}')\n" + end
    script = (
        "import subprocess, sys\n"
        f"done = subprocess.run([sys.executable, '-c', {inner!r}], stdout=subprocess.PIPE)\n"
        "print('piped', done.stdout)\n"
    )
    seen = open_terminal(script).end()
    assert r"piped b'{}\n'" in text(seen)
    assert "digits: completed" in text(seen)
