"""Who has how much of what: counts by label and site as an inline SVG table of shaded cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flk_tracker_jsonl.text import escape, natural, number, plural, short

__all__ = ["is_split", "split"]

_MAX_ROWS = 40
_MAX_LABELS = 20
_MAX_NAME = 15
_CELL, _ROW, _WIDTH = 42, 24, 804
_TOP, _BOTTOM = 46, 4


def is_split(value: object) -> bool:
    """Whether a fact is a mapping of labels to counts."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(
            isinstance(n, int | float)
            and not isinstance(n, bool)
            and math.isfinite(n)
            and 0 <= n < 1e300
            for n in value.values()
        )
    )


def split(name: str, by_site: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> str:
    """A figure for the fact `name`: a row a site in the given order, a column a label, darker with
    the site's share, and a bar for each site's total. Of more than 40 sites, 40 are shown, of more
    than 20 labels the largest."""
    totals: dict[str, float] = {}
    for counts in by_site.values():
        for label, n in counts.items():
            totals[str(label)] = totals.get(str(label), 0.0) + n
    labels = sorted(totals, key=natural)
    notes = ["Stronger colour: a larger share of the site's own samples."]
    if len(labels) > _MAX_LABELS:
        largest = set(sorted(labels, key=lambda one: -totals[one])[: _MAX_LABELS - 1])
        notes.append(
            f"The {_MAX_LABELS - 1} largest of {len(labels):,} labels; the others are summed up."
        )
        labels = [one for one in labels if one in largest]
        columns: list[str | None] = [*labels, None]
    else:
        columns = list(labels)
    sites = [site for site in order if site in by_site]
    rows = sites
    if len(sites) > _MAX_ROWS:
        by_size = sorted(sites, key=lambda site: -sum(by_site[site].values()))
        last = len(by_size) - 1
        rows = [by_size[round(i * last / (_MAX_ROWS - 1))] for i in range(_MAX_ROWS)]
        notes.append(
            f"{_MAX_ROWS} of {len(sites):,} sites, from the one with most samples to the one with "
            "fewest at even distances."
        )
    counted = {site: _counts(by_site[site], columns) for site in rows}
    top = max((sum(counts) for counts in counted.values()), default=0.0)
    deepest = max((max(c) / sum(c) for c in counted.values() if sum(c)), default=1.0)
    left = 12 + 7 * max((len(short(site, _MAX_NAME)) for site in rows), default=0)
    right = left + len(columns) * _CELL
    bar = min(240, max(130, _WIDTH - right))
    width = right + bar
    height = _TOP + len(rows) * _ROW + _BOTTOM
    parts = [_heading(columns, left)]
    for index, (site, row) in enumerate(counted.items()):
        y = _TOP + index * _ROW
        parts.append(_cells(site, columns, row, left, y, deepest))
        parts.append(_total(sum(row), right, y, (bar - 74) / top if top else 0.0))
    label = escape(f"{short(name, 60)} of {plural(len(sites), 'site')}")
    return (
        f'<figure class="split"><figcaption><h3>{escape(short(name, 60))}</h3>'
        f'<span class="keys">{plural(len(sites), "site")}, '
        f"{number(sum(totals.values()))} samples, {plural(len(totals), 'label')}</span>"
        f'</figcaption><div class="scroll"><svg viewBox="0 0 {width} {height}" '
        f'style="max-width:{width * 1.15:.0f}px;min-width:{min(width, 560)}px" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg></div>'
        f'<p class="note">{" ".join(map(escape, notes))}</p></figure>'
    )


def _counts(counts: Mapping[str, Any], columns: Sequence[str | None]) -> list[float]:
    """The site's counts a column; the column None takes the rest."""
    named = {str(label): float(n) for label, n in counts.items()}
    row = [named.get(label, 0.0) if label is not None else 0.0 for label in columns]
    if None in columns:
        row[-1] = max(0.0, sum(named.values()) - sum(row))
    return row


def _heading(columns: Sequence[str | None], left: int) -> str:
    names = []
    for index, label in enumerate(columns):
        at = left + index * _CELL + _CELL / 2
        shown = "other" if label is None else short(label, 6)
        full = "all other labels" if label is None else short(label, 200)
        names.append(
            f'<text x="{at:g}" y="{_TOP - 9}" class="x">{escape(shown)}'
            f"<title>{escape(full)}</title></text>"
        )
    right = left + len(columns) * _CELL + 12
    middle = left + len(columns) * _CELL / 2
    return (
        f'<text x="{middle:g}" y="15" class="x label">label</text>'
        f'<text x="{right}" y="{_TOP - 9}" class="label">samples</text>{"".join(names)}'
    )


def _cells(
    site: str,
    columns: Sequence[str | None],
    counts: Sequence[float],
    left: int,
    y: int,
    deepest: float,
) -> str:
    """The site's name and a cell a label, fully dark where the share of all counts is `deepest`."""
    total = sum(counts)
    middle = y + _ROW / 2
    parts = [
        f'<text x="{left - 8}" y="{middle:g}" dy=".34em" class="y">'
        f"{escape(short(site, _MAX_NAME))}<title>{escape(short(site, 200))}</title></text>"
    ]
    for index, (label, n) in enumerate(zip(columns, counts, strict=True)):
        x = left + index * _CELL
        depth = n / total / deepest if total and deepest else 0.0
        tip = f"{short(site, 20)}, {'other' if label is None else short(label, 20)}: {number(n)}"
        shade = f' fill-opacity="{0.05 + 0.95 * depth:.2f}"' if n else ""
        parts.append(
            f'<rect class="{"cell" if n else "cell none"}" x="{x + 1}" y="{y + 1}" '
            f'width="{_CELL - 2}" height="{_ROW - 2}" rx="2"{shade}>'
            f"<title>{escape(tip)}</title></rect>"
        )
        if n:
            strong = "n strong" if depth > 0.68 else "n"
            at = f'x="{x + _CELL / 2:g}" y="{middle:g}"'
            parts.append(f'<text {at} dy=".34em" class="{strong}">{_brief(n)}</text>')
    return "".join(parts)


def _total(total: float, right: int, y: int, scale: float) -> str:
    x = right + 12
    length = max(1.0, total * scale)
    return (
        f'<rect class="bar" x="{x}" y="{y + 7}" width="{length:.1f}" height="{_ROW - 14}"/>'
        f'<text x="{x + length + 7:.1f}" y="{y + _ROW / 2:g}" dy=".34em" class="n total">'
        f"{number(total)}</text>"
    )


def _brief(n: float) -> str:
    if n < 10_000:
        return number(round(n, 1))
    for unit in ("k", "M", "G", "T"):
        n /= 1_000
        if n < 1_000:
            return f"{n:.0f}{unit}"
    return f"{n:.0e}"
