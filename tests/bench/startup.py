"""How long `flk` takes before it does anything, beside Python with click and beside the start of
peers (see tests/bench/peers.py for how those are found), and how many modules that loads.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.bench import row, skipped
from tests.bench.peers import PEERS

HELP = "import sys; sys.argv = ['flk', '--help']; from flk.cli import main; main()"
COUNT = "import sys; before = set(sys.modules); {}; print(len(set(sys.modules) - before))"
COUNT_HELP = (
    "import atexit, sys; before = set(sys.modules);"
    f" atexit.register(lambda: print(len(set(sys.modules) - before), file=sys.stderr)); {HELP}"
)
REPEATS = 15


def main() -> None:
    cases = {
        "click": [sys.executable, "-c", "import click"],
        "import": [sys.executable, "-c", "import flk"],
        "help": [sys.executable, "-c", HELP],
    }
    for name, peer in PEERS.items():
        if python := peer.python():
            cases[f"{name} import"] = [python, "-c", f"import {peer.module}"]
            if peer.command:
                cases[f"{name} help"] = [str(Path(python).parent / peer.command), "--help"]
    best = shortest(cases)
    row("`import flk` beside `import click`", best["import"] / best["click"], aim="< 1")
    row("`flk --help` beside `import click`", best["help"] / best["click"], aim="<= 1.5")
    for what in ("import click", "import flk"):
        loaded = int(output(COUNT.format(what)).stdout)
        row(f"modules that `{what}` loads", loaded, unit="modules")
    row("modules that `flk --help` loads", int(output(COUNT_HELP).stderr), unit="modules")
    for name, peer in PEERS.items():
        if peer.python() is None:
            skipped(f"`import flk` beside {name}'s", peer.absent)
            continue
        times = best[f"{name} import"] / best["import"]
        row(f"`import flk` beside {name}'s", times, unit="times faster", aim="> 1")
        if peer.command:
            times = best[f"{name} help"] / best["help"]
            row(f"`flk --help` beside {name}'s", times, unit="times faster", aim="> 1")


def shortest(cases: dict[str, list[str]]) -> dict[str, float]:
    """Seconds of each command, the best of several; in turns, so that a busy moment hits all."""
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(REPEATS):
        for name, command in cases.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def output(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


if __name__ == "__main__":
    main()
