"""Hooks about metrics and facts, for observers; trackers get them through their own contract."""

from __future__ import annotations

from collections.abc import Sequence

from flk.spi.records import Fact, Metric, RunRecord

__all__ = ["flk_on_metrics"]


def flk_on_metrics(run: RunRecord, records: Sequence[Metric | Fact]) -> None:
    """Somebody logged numbers or described itself."""
