"""The simulated no-op round beside the simulators of other frameworks.

Each site returns a model of 40 KB as it got it; a figure is a peer's seconds a round over ours with
as many sites, measured in the same run, medians without the first round. Each peer runs its app
from peer_apps/ in the interpreter that a variable names (FLK_BENCH_PFL=/path/to/venv/bin/python,
FLK_BENCH_FLOWER, FLK_BENCH_NVFLARE), else in this one if it is installed here. A number of sites
for which a peer ends too few rounds in two minutes has no figure, and larger ones are not tried.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from uuid import uuid4

from tests.bench import row, skipped

APPS = Path(__file__).parent / "peer_apps"
SECONDS = 120
ENOUGH = 2
"""Rounds after the first, without which there is no figure."""


@dataclass(frozen=True)
class Peer:
    module: str
    variable: str
    command: str
    """The console script beside the interpreter; empty if there is none."""
    rounds: int
    sites: tuple[int, ...] = (10, 100, 1000)

    @property
    def app(self) -> Path:
        return APPS / f"with_{self.variable.removeprefix('FLK_BENCH_').lower()}.py"

    def python(self) -> str | None:
        """The interpreter that has this peer, if any."""
        named = os.environ.get(self.variable)
        return named or (sys.executable if find_spec(self.module) else None)

    @property
    def absent(self) -> str:
        return f"not installed: {self.variable} names no interpreter and this one lacks it"


PEERS = {
    "pfl": Peer("pfl", "FLK_BENCH_PFL", "", 30),
    "Flower": Peer("flwr", "FLK_BENCH_FLOWER", "flwr", 6),
    # a process a site: 1,000 would need some 80 GB
    "NVFlare": Peer("nvflare", "FLK_BENCH_NVFLARE", "nvflare", 6, sites=(10, 100)),
}


class NoFigureError(Exception):
    """Why a peer has no figure."""


def main() -> None:
    for name, peer in PEERS.items():
        if python := peer.python():
            compare(name, peer, python)
        else:
            skipped(f"a round: flk beside {name}", peer.absent)


def compare(name: str, peer: Peer, python: str) -> None:
    why = ""
    for sites in peer.sites:
        what = f"a round of {sites:,} sites: flk beside {name}"
        try:
            if why:
                raise NoFigureError(why)
            theirs = seconds_of(peer, python, sites)
        except NoFigureError as error:
            why = str(error)
            skipped(what, why)
        else:
            row(what, theirs / ours(sites), unit="times faster", aim="> 1")


def ours(sites: int) -> float:
    from tests.bench.simulate import Copying, simulated

    return median(simulated(Copying, sites) for _ in range(3))


def seconds_of(peer: Peer, python: str, sites: int) -> float:
    """Seconds a round of a peer. Raises NoFigureError."""
    command = [python, str(peer.app), str(sites), str(peer.rounds)]
    with started(command) as (child, late):
        assert child.stdout is not None
        rounds = [json.loads(line)["seconds"] for line in child.stdout if '{"seconds"' in line]
        child.wait()
    if len(rounds) > ENOUGH:
        return float(median(rounds[1:]))
    ended = f"after {SECONDS} s" if late.is_set() else f"at its exit with {child.returncode}"
    raise NoFigureError(f"{len(rounds)} rounds of {sites} sites {ended}")


@contextmanager
def started(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], threading.Event]]:
    """A process that is killed after SECONDS with all that descends from it, which is known by a
    mark in the environment: peers start sessions of their own."""
    mark, late = f"FLK_BENCH_RUN={uuid4().hex}", threading.Event()
    name, _, value = mark.partition("=")

    def stop() -> None:
        late.set()
        kill(mark)

    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        timer = threading.Timer(SECONDS, stop)
        timer.start()
        try:
            yield child, late
        finally:
            timer.cancel()
            kill(mark)
            child.communicate()


def kill(mark: str) -> None:
    """Kill the processes with this mark, until none is left that could start another."""
    found = True
    while found:
        found = False
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark.encode() in environ.read_bytes().split(b"\0"):
                    os.kill(int(environ.parent.name), signal.SIGKILL)
                    found = True
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue  # it ended, or it is another user's


if __name__ == "__main__":
    main()
