"""FLModel: what a model looks like on its way between a server and its sites. Data only, no
behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["FLModel", "ParamsType"]


class ParamsType(StrEnum):
    """Whether `params` are whole parameters or a difference from those that were received."""

    FULL = "FULL"
    DIFF = "DIFF"


@dataclass(slots=True)
class FLModel:
    """Parameters with what travels beside them.

    params: nested dicts, lists or tuples of arrays and numbers (for torch: a state dict).
    metrics: name to number, measured by the sender on the parameters it received or returns.
    current_round, total_rounds: rounds count from 0.
    meta: facts about the contribution; `meta["weight"]` is its weight in a mean (number of
        samples).
    extra: anything else the algorithm exchanges, keyed by name; never aggregated.
    """

    params: Any = None
    params_type: ParamsType = ParamsType.FULL
    metrics: dict[str, float] = field(default_factory=dict)
    current_round: int | None = None
    total_rounds: int | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
