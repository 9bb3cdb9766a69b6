"""One metric as an inline SVG: the server's line over those of the sites, or over their quantiles
where there are many. No page around it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from flk_tracker_jsonl.gather import SERVER, Measure, Series
from flk_tracker_jsonl.text import escape, number, plural, short

__all__ = ["MANY_SITES", "Axis", "curves"]

MANY_SITES = 30
"""Beyond so many sites a chart shows quantiles instead of lines."""

_WIDTH, _HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 12, 40
_MAX_BUCKETS = 120
_MAX_BAND_SITES = 1_000
_LOG_SPAN = 1_000
_TINY = 1e-300

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """Values `low` to `high` on pixels `start` to `end`, with ticks at round values."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def label(self, tick: float) -> str:
        """The number beside a tick, with as many decimals as tell it from the next."""
        if self.logarithmic or len(self.ticks) < 2:
            return number(tick)
        step = self.ticks[1] - self.ticks[0]
        if step < 1e-6 or abs(tick) >= 1e6:
            return number(tick)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{tick:,.{decimals}f}".replace("-", "−")

    @staticmethod
    def of(low: float, high: float, start: float, end: float, *, whole: bool = False) -> Axis:
        """The axis that shows `low` to `high`; logarithmic where both are positive and far apart.
        With `whole` the ticks are integers and the axis ends where the data do."""
        if not whole and low > 0 and high / low >= _LOG_SPAN:
            first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
            every = math.ceil((last - first) / 6)
            powers = tuple(10.0**p for p in range(first, last + 1, every) if -308 <= p <= 308)
            return Axis(min(low, powers[0]), max(high, powers[-1]), start, end, powers, True)
        if whole and low == high:
            low, high = low - max(0.5, abs(low) * 1e-9), high + max(0.5, abs(high) * 1e-9)
        elif not whole and high - low <= max(1e-9 * max(abs(low), abs(high)), _TINY):
            room = max(abs(low), abs(high)) * 0.05
            low, high = (low - room, high + room) if room > _TINY else (-0.5, 0.5)
        step = _round_step((high - low) / 5)
        if whole:
            step = max(1.0, math.ceil(step))
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if not whole:
            first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
            low, high = min(low, first * step), max(high, last * step)
        return Axis(low, high, start, end, tuple(i * step for i in range(first, last + 1)))


def curves(measure: Measure, budget: int, ident: str) -> str:
    """A figure with heading, chart and notes. `budget` bounds the points drawn, `ident` makes the
    ids of the elements unique in the page."""
    server = measure.series.get(SERVER)
    sites = {s: v for s, v in measure.series.items() if s != SERVER and len(v)}
    shown = [*sites.values(), *([server] if server else [])]
    notes = _notes(measure, len(sites))
    drawn = [series for series in shown if len(series)]
    if not drawn:
        return _figure(measure, "", [*notes, "No finite value was logged."], len(sites))
    x = Axis.of(
        min(s.steps[0] for s in drawn),
        max(s.steps[-1] for s in drawn),
        _LEFT,
        _WIDTH - _RIGHT,
        whole=True,
    )
    y = Axis.of(
        min(min(s.values) for s in drawn),
        max(max(s.values) for s in drawn),
        _HEIGHT - _BOTTOM,
        _TOP,
    )
    if y.logarithmic:
        notes.append("Logarithmic scale.")
    body = [_frame(x, y, "round" if measure.by_round else "step")]
    if len(sites) > MANY_SITES:
        notes.append(_band_note(len(sites)))
        body.append(_band(list(sites.values()), x, y))
    else:
        room = max(24, budget // (len(sites) + 1))
        if any(s.thinned or len(s) > room for s in drawn):
            notes.append("Lines are thinned to their lowest and highest points.")
        for index, (site, series) in enumerate(sites.items()):
            title = f"{short(site, 40)}: {number(series.last)} at the end"
            body.append(_line(series, room, x, y, "site", title, f"{ident}-{index}"))
    if server and len(server):
        body.append(_line(server, max(24, budget // 4), x, y, "server", "server", f"{ident}-s"))
    label = escape(f"{short(measure.name, 80)} by {'round' if measure.by_round else 'step'}")
    svg = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
    return _figure(measure, svg + "".join(body) + "</svg>", notes, len(sites))


def _figure(measure: Measure, svg: str, notes: list[str], sites: int) -> str:
    server = measure.series.get(SERVER)
    keys = []
    if server is not None:
        keys.append(f'<span class="key server"></span>server <b>{number(server.last)}</b>')
    if sites:
        key = "band" if sites > MANY_SITES else "site"
        keys.append(f'<span class="key {key}"></span>{plural(sites, "site")}')
    note = f'<p class="note">{" ".join(map(escape, notes))}</p>' if notes else ""
    return (
        f'<figure><figcaption><h3 title="{escape(short(measure.name, 300))}">'
        f"{escape(short(measure.name, 36))}</h3>"
        f'<span class="keys">{"".join(f"<span>{key}</span>" for key in keys)}</span>'
        f"</figcaption>{svg}{note}</figure>"
    )


def _notes(measure: Measure, sites: int) -> list[str]:
    lost = sum(series.lost for series in measure.series.values())
    return [f"Left out: {plural(lost, 'value')} not finite."] if lost else []


def _band_note(sites: int) -> str:
    of = f" (drawn from {_MAX_BAND_SITES:,})" if sites > _MAX_BAND_SITES else ""
    return f"Median, middle 50 % and middle 80 % of {sites:,} sites{of}, not a line each."


def _frame(x: Axis, y: Axis, label: str) -> str:
    parts = []
    for tick in y.ticks:
        at = _px(y.at(tick))
        parts.append(f'<path class="grid" d="M{_LEFT} {at}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at}" dy=".32em" class="y">{y.label(tick)}</text>')
    base = _HEIGHT - _BOTTOM
    parts.append(f'<path class="axis" d="M{_LEFT} {base}H{_WIDTH - _RIGHT}"/>')
    for tick in x.ticks:
        at = _px(x.at(tick))
        parts.append(f'<path class="axis" d="M{at} {base}v4"/>')
        parts.append(f'<text x="{at}" y="{base + 17}" class="x">{x.label(tick)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{_px(middle)}" y="{_HEIGHT - 5}" class="x label">{label}</text>')
    return "".join(parts)


def _line(series: Series, room: int, x: Axis, y: Axis, kind: str, title: str, ident: str) -> str:
    points = [(x.at(step), y.at(value)) for step, value in _thin(list(series), room)]
    if len(points) == 1:
        (px, py) = points[0]
        radius = "4" if kind == "server" else "2.5"
        shape = f'<circle class="dot" cx="{_px(px)}" cy="{_px(py)}" r="{radius}"/>'
    else:
        shape = f'<path id="{ident}" d="{_path(points)}"/><use class="reach" href="#{ident}"/>'
    return f'<g class="{kind}"><title>{escape(title)}</title>{shape}</g>'


def _band(sites: list[Series], x: Axis, y: Axis) -> str:
    every = max(1, math.ceil(len(sites) / _MAX_BAND_SITES))
    rows = _quantiles(sites[::every], (0.1, 0.25, 0.5, 0.75, 0.9))
    at = [x.at(step) for step, _ in rows]
    lines = [[(px, y.at(row[i])) for px, (_, row) in zip(at, rows, strict=True)] for i in range(5)]
    if len(rows) == 1:
        px = at[0]
        return "".join(
            f'<path class="{name}" d="M{_px(px - 6)} {_px(lines[low][0][1])}h12'
            f'V{_px(lines[high][0][1])}h-12z"/>'
            for name, low, high in (("outer", 0, 4), ("inner", 1, 3))
        )
    outer = f'<path class="outer" d="{_path([*lines[0], *reversed(lines[4])])}z"/>'
    inner = f'<path class="inner" d="{_path([*lines[1], *reversed(lines[3])])}z"/>'
    return outer + inner + f'<path class="median" d="{_path(lines[2])}"/>'


def _quantiles(
    sites: list[Series], shares: tuple[float, ...]
) -> list[tuple[float, tuple[float, ...]]]:
    """(step, quantiles over the sites' values), for each step or, where there are many, for each of
    120 stretches of them."""
    steps = sorted({step for series in sites for step in series.steps})
    starts = steps[:: max(1, math.ceil(len(steps) / _MAX_BUCKETS))]
    buckets: list[list[float]] = [[] for _ in starts]
    for series in sites:
        for step, value in series:
            buckets[bisect_right(starts, step) - 1].append(value)
    rows = []
    for start, values in zip(starts, buckets, strict=True):
        values.sort()
        rows.append((start, tuple(values[round(q * (len(values) - 1))] for q in shares)))
    return rows


def _thin(points: Points, room: int) -> Points:
    """At most about `room` points: the ends, and the lowest and highest of each stretch."""
    if len(points) <= room:
        return points
    size = math.ceil(2 * len(points) / (room - 2))
    kept = [points[0]]
    for start in range(1, len(points) - 1, size):
        stretch = points[start : min(start + size, len(points) - 1)]
        low = min(stretch, key=lambda point: point[1])
        high = max(stretch, key=lambda point: point[1])
        kept += sorted({low, high})
    return [*kept, points[-1]]


def _path(points: Points) -> str:
    return "M" + "L".join(f"{_px(px)} {_px(py)}" for px, py in points)


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
