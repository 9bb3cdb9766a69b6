"""Aligned columns for people; scripts get JSON."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]


def table(rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their content: those with numbers to the right, floats with four digits;
    text to the left. Ends in a newline."""
    texts = [[f"{c:.4g}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    numeric = [
        any(isinstance(c, int | float) for c in column) for column in zip(*rows, strict=True)
    ]
    lines = []
    for row in texts:
        columns = zip(row, widths, numeric, strict=True)
        cells = (
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in columns
        )
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)
