"""Who has how much of what: counts by label and site as an inline SVG table of shaded cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flk_tracker_jsonl.text import escape, natural, number, plural, short

__all__ = ["is_split", "split"]

_MAX_ROWS = 40
_MAX_LABELS = 20
_CELL, _ROW, _NAME, _BAR = 42, 24, 118, 150
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
    notes = ["Darker: a larger share of the site's own samples."]
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
    width = _NAME + len(columns) * _CELL + _BAR
    height = _TOP + len(rows) * _ROW + _BOTTOM
    parts = [_heading(columns)]
    for index, (site, row) in enumerate(counted.items()):
        parts.append(_row(site, columns, row, _TOP + index * _ROW, top))
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


def _heading(columns: Sequence[str | None]) -> str:
    names = []
    for index, label in enumerate(columns):
        at = _NAME + index * _CELL + _CELL / 2
        shown = "other" if label is None else short(label, 6)
        full = "all other labels" if label is None else short(label, 200)
        names.append(
            f'<text x="{at:g}" y="{_TOP - 9}" class="x">{escape(shown)}'
            f"<title>{escape(full)}</title></text>"
        )
    right = _NAME + len(columns) * _CELL + 12
    middle = _NAME + len(columns) * _CELL / 2
    return (
        f'<text x="{middle:g}" y="15" class="x label">label</text>'
        f'<text x="{right}" y="{_TOP - 9}" class="label">samples</text>{"".join(names)}'
    )


def _row(
    site: str, columns: Sequence[str | None], counts: Sequence[float], y: int, top: float
) -> str:
    total = sum(counts)
    middle = y + _ROW / 2
    parts = [
        f'<text x="{_NAME - 10}" y="{middle:g}" dy=".34em" class="y">{escape(short(site, 15))}'
        f"<title>{escape(short(site, 200))}</title></text>"
    ]
    for index, (label, n) in enumerate(zip(columns, counts, strict=True)):
        x = _NAME + index * _CELL
        share = n / total if total else 0.0
        tip = f"{short(site, 60)}, {'other' if label is None else short(label, 60)}: {number(n)}"
        depth = f' fill-opacity="{0.06 + 0.94 * share:.2f}"' if n else ""
        kind = "cell" if n else "cell none"
        parts.append(
            f'<rect class="{kind}" x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_ROW - 2}"'
            f' rx="2"{depth}><title>{escape(tip)}</title></rect>'
        )
        if n:
            strong = "n strong" if share > 0.5 else "n"
            at = f'x="{x + _CELL / 2:g}" y="{middle:g}"'
            parts.append(f'<text {at} dy=".34em" class="{strong}">{_brief(n)}</text>')
    x = _NAME + len(columns) * _CELL + 12
    bar = (_BAR - 12 - 62) * total / top if top else 0
    parts.append(
        f'<rect class="bar" x="{x}" y="{y + 7}" width="{max(bar, 1):.1f}" height="{_ROW - 14}"/>'
        f'<text x="{x + bar + 7:.1f}" y="{middle:g}" dy=".34em" class="n total">'
        f"{number(total)}</text>"
    )
    return "".join(parts)


def _brief(n: float) -> str:
    if n < 10_000:
        return number(round(n, 1))
    for unit in ("k", "M", "G", "T"):
        n /= 1_000
        if n < 1_000:
            return f"{n:.0f}{unit}"
    return f"{n:.0e}"
