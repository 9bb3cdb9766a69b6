"""How long `flk` takes before it does anything, beside Python with click."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.bench import row

CASES = {
    "click": "import click",
    "import": "import flk",
    "help": "import sys; sys.argv = ['flk', '--help']; from flk.cli import main; main()",
}
REPEATS = 15


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    best = dict.fromkeys(CASES, float("inf"))
    for _ in range(REPEATS):
        for name, code in CASES.items():
            best[name] = min(best[name], seconds(code))
    row("`import flk` beside `import click`", best["import"] / best["click"], aim="< 1")
    row("`flk --help` beside `import click`", best["help"] / best["click"], aim="<= 1.5")


if __name__ == "__main__":
    main()
