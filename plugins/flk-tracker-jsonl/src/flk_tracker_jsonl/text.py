"""Text that is safe in the page, and numbers as people read them."""

from __future__ import annotations

import html
import math
import re

__all__ = ["escape", "natural", "number", "plural", "short"]

_UNFIT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def escape(text: object) -> str:
    """Any text for the inside of an element or a quoted attribute; control characters, marks that
    turn the reading direction and lone surrogates become a visible replacement character."""
    return html.escape(_UNFIT.sub("\ufffd", str(text)), quote=True)


def short(text: object, width: int) -> str:
    """Not yet escaped text of at most `width` characters; the middle gives way, so that names that
    differ in their last number stay apart."""
    line = str(text)
    if len(line) <= width:
        return line
    head = (width - 1) // 2
    return f"{line[:head]}…{line[len(line) - (width - 1 - head) :]}"


def number(value: float) -> str:
    """Four significant digits, a true minus sign, no needless zeros."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e9:
        text = f"{int(value):,}"
    elif abs(value) >= 1e6 or abs(value) < 1e-4:
        text = f"{value:.3g}"
    elif abs(value) >= 1e4:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.4g}"
    return text.replace("-", "−")


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts `site-2` before `site-10`."""
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]{1,18})", name)
        if part
    )
