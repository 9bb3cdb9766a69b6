"""`python -m tests.bench [NAME...]`: run the measurements, print a table in Markdown.

Exits with 1 if a measurement did not finish; an aim that was missed is said in the table.
"""

from __future__ import annotations

import json
import operator
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def reached(value: float, aim: str) -> bool:
    comparison, _, limit = aim.partition(" ")
    return bool(COMPARISONS[comparison](value, float(limit)))


def measure(name: str) -> tuple[list[dict[str, Any]], int]:
    """The rows that a module reported, and its exit code; what else it prints is shown at once."""
    command = [sys.executable, "-m", f"tests.bench.{name}"]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith('{"what"'):
                rows.append(json.loads(line))
            else:
                print(line, end="", file=sys.stderr)
    return rows, child.returncode


def line(name: str, row: dict[str, Any]) -> str:
    if "why" in row:
        return f"| {name} | {row['what']} | - | | {row['why']} |"
    holds = ("yes" if reached(row["value"], row["aim"]) else "**no**") if row["aim"] else ""
    value = row["value"]
    value = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"| {name} | {row['what']} | {value} {row['unit']} | {row['aim']} | {holds} |"


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - set(names())
    if unknown:
        print(f"no measurement {sorted(unknown)}; there are: {', '.join(names())}")
        return 2
    table, broken = [], []
    for name in wanted or names():
        print(f"measuring {name} ...", file=sys.stderr)
        rows, code = measure(name)
        table += [line(name, row) for row in rows]
        broken += [name] if code else []
    print("| measurement | what | measured | aim | reached |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(table))
    if broken:
        print(f"\ndid not finish: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
