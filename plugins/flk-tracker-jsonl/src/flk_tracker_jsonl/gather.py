"""What the page needs of a run's records, in bounded memory: series thinned while they arrive, last
values, facts. Draws nothing."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flk.spi.records import Fact, Metric

__all__ = ["SERVER", "Failure", "Gathered", "Measure", "Series"]

SERVER = "server"

_MAX_POINTS = 1024
_MAX_NAMES = 200
_MAX_STEP = 1 << 53
_MAX_VALUE = 1e300


@dataclass(frozen=True, slots=True)
class Failure:
    """A site that did not answer well: in which round, to which function, with which sentence."""

    round: int | None
    site: str
    function: str
    error: str


class Series:
    """The values of one metric at one site by step, those that
    are finite; of more than 1,024 every
    second, then every fourth one is kept. A step that comes twice keeps its later value. `last` is
    what was logged last, finite or not, `lost` counts the values that are not finite
    (or beyond 1e300, which no axis can show)."""

    __slots__ = ("_provisional", "_seen", "_stride", "last", "lost", "steps", "thinned", "values")

    def __init__(self) -> None:
        self.steps = array("d")
        self.values = array("d")
        self.last = math.nan
        self.lost = 0
        self.thinned = False
        self._seen = 0
        self._stride = 1
        self._provisional = False

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self.steps, self.values, strict=True)

    def add(self, step: int, value: float) -> None:
        at = float(min(max(step, -_MAX_STEP), _MAX_STEP))
        self.last = value
        if not abs(value) < _MAX_VALUE:
            self.lost += 1
        elif self.steps and at <= self.steps[-1]:
            self._replace(at, value)
        else:
            if self._provisional:
                self.steps.pop()
                self.values.pop()
            self.steps.append(at)
            self.values.append(value)
            self._provisional = self._seen % self._stride != 0
            self._seen += 1
            if len(self.steps) > _MAX_POINTS:
                self._thin()

    def _replace(self, at: float, value: float) -> None:
        index = bisect_left(self.steps, at)
        if self.steps[index] == at:
            self.values[index] = value
        elif not self.thinned:
            self.steps.insert(index, at)
            self.values.insert(index, value)

    def _thin(self) -> None:
        last = self.steps[-1], self.values[-1]
        self.steps, self.values = self.steps[::2], self.values[::2]
        self._provisional = self.steps[-1] != last[0]
        if self._provisional:
            self.steps.append(last[0])
            self.values.append(last[1])
        self._stride *= 2
        self.thinned = True


class Measure:
    """One metric at all sites. `by_round`: every step so far was the number of its round."""

    __slots__ = ("by_round", "name", "series")

    def __init__(self, name: str) -> None:
        self.name = name
        self.by_round = True
        self.series: dict[str, Series] = {}


class Gathered:
    """Everything added so far: `measures` by name, `facts` by name and then site, in order of
    first appearance; the first 200 names of each, records of further names are
    counted in `left_out`."""

    def __init__(self) -> None:
        self.left_out = 0
        self.measures: dict[str, Measure] = {}
        self.facts: dict[str, dict[str, Any]] = {}

    def add(self, record: Metric | Fact) -> None:
        if isinstance(record, Fact):
            if record.name in self.facts or len(self.facts) < _MAX_NAMES:
                self.facts.setdefault(record.name, {})[record.site] = record.value
            else:
                self.left_out += 1
            return
        measure = self.measures.get(record.name)
        if measure is None:
            if len(self.measures) >= _MAX_NAMES:
                self.left_out += 1
                return
            measure = self.measures[record.name] = Measure(record.name)
        series = measure.series.get(record.site)
        if series is None:
            series = measure.series[record.site] = Series()
        measure.by_round &= record.step == record.round
        series.add(record.step, float(record.value))
