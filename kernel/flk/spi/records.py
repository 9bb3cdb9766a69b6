"""The small records that contracts and hooks share: what is told about a run, its metrics and its
sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Fact", "Metric", "RunRecord"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What everybody may know about a run. `started` is Unix time in seconds; `folder` is the run
    folder, if any."""

    id: str
    job: str
    environment: str
    sites: tuple[str, ...]
    folder: Path | None
    started: float
    seed: int | None = None
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One number. `site` is `server` or a site's name, `time` Unix seconds, `step` what the user
    counts (else the round, else a running number a series)."""

    name: str
    value: float
    site: str
    round: int | None
    step: int
    time: float


@dataclass(frozen=True, slots=True)
class Fact:
    """Plain data that a site says once about itself (`flk.describe(labels={...})`); JSON types
    only."""

    name: str
    value: Any
    site: str
    time: float
