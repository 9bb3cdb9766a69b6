"""Faults on purpose, so that users test what their algorithm does about them: drawn from the seed,
or exactly placed.

    faults={"drop": 0.1, "nan": 0.02, "delay": 3.0}   # by chance, at each call; mean seconds
    faults={"site-2": {"crash": 3, "delay": 60}}      # its fourth call of each function; always
    faults={"site-5": {"nan": [0, 1], "drop": True}}  # its first two calls; every call
    faults=lambda site, function, n: flk.calls.Fault(...)  # anything else, n from 0

`drop`: the site is not reached. `reply_lost`: it works, its answer is lost. `crash`: its process
dies and comes back with `flk.state` only. `nan`: every float it returns is NaN. `late`: its answer
comes an hour later. `repeat`: its answer comes twice. `delay`: virtual seconds until it answers;
nobody really waits for them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flk.calls import Fault
from flk.calls.trees import arrays_of
from flk.errors import ConfigError
from flk.model import FLModel

__all__ = ["KINDS", "fault_plan", "not_a_number"]

KINDS = ("drop", "reply_lost", "crash", "nan", "late", "repeat", "delay")
_HOUR = 3600.0

Plan = Callable[[str, str, int], Fault | None]


def fault_plan(
    wanted: Mapping[str, Any] | Plan | None, seed: int, sites: Sequence[str]
) -> Plan | None:
    """What the dispatcher asks before each call; see the module for what may be wanted."""
    if wanted is None or callable(wanted):
        return wanted
    chances = {k: _chance(k, v) for k, v in wanted.items() if k in KINDS}
    placed = {k: v for k, v in wanted.items() if k not in KINDS}
    for site, kinds in placed.items():
        if site not in sites or not _is_placed(kinds):
            raise ConfigError(
                f"faults={{{site!r}: {kinds!r}}} names neither a fault nor a site with its faults",
                cure=f"Faults are {', '.join(KINDS)}; sites are {sites[0]} to {sites[-1]}",
            )

    def plan(site: str, function: str, before: int) -> Fault | None:
        draw = random.Random(f"{seed}/{site}/{function}/{before}")
        happens = {kind: draw.random() < chances.get(kind, 0.0) for kind in KINDS[:-1]}
        delay = draw.expovariate(1 / chances["delay"]) if chances.get("delay") else 0.0
        for kind, when in placed.get(site, {}).items():
            if kind == "delay":
                delay += float(when)
            else:
                happens[kind] |= _hits(when, before)
        fault = Fault(
            delay=delay + (_HOUR if happens["late"] else 0.0),
            lost=happens["drop"],
            reply_lost=happens["reply_lost"],
            restart=happens["crash"],
            repeat=happens["repeat"],
            spoil=not_a_number if happens["nan"] else None,
        )
        return None if fault == Fault() else fault

    return plan


def not_a_number(value: Any) -> Any:
    """The same structure with NaN for every float."""
    if isinstance(value, dict):
        return {key: not_a_number(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(not_a_number(item) for item in value)
    if isinstance(value, FLModel):
        spoilt = FLModel(**{name: getattr(value, name) for name in FLModel.__slots__})
        spoilt.params = not_a_number(value.params)
        return spoilt
    if isinstance(value, float):
        return math.nan
    arrays = arrays_of(type(value))
    if arrays is None or isinstance(value, int | bool) or not arrays.is_float(value):
        return value
    spoilt_array = arrays.copy(value)
    arrays.scale(spoilt_array, math.nan)
    return spoilt_array


def _chance(kind: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan
    if not number >= 0 or (kind != "delay" and number > 1) or not math.isfinite(number):
        raise ConfigError(f"faults={{{kind!r}: {value!r}}} is not a probability from 0 to 1")
    return number


def _is_placed(kinds: Any) -> bool:
    if not isinstance(kinds, Mapping) or set(kinds) - set(KINDS):
        return False
    delay = kinds.get("delay", 0)
    whens = [when for kind, when in kinds.items() if kind != "delay"]
    return (
        isinstance(delay, int | float)
        and 0 <= delay < math.inf
        and all(
            isinstance(when, int | range)
            or (isinstance(when, list | tuple | set) and all(type(n) is int for n in when))
            for when in whens
        )
    )


def _hits(when: Any, before: int) -> bool:
    if isinstance(when, bool):
        return when
    return before == when if isinstance(when, int) else before in when
