"""Hooks about one execution of a job."""

from __future__ import annotations

from flk.spi.records import RunRecord

__all__ = ["flk_on_run_finished", "flk_on_run_started"]


def flk_on_run_started(run: RunRecord) -> None:
    """The algorithm is about to start."""


def flk_on_run_finished(run: RunRecord, status: str, error: str, seconds: float) -> None:
    """The run ended as `completed`, `failed` or `aborted`; `error` is a sentence, empty when
    completed."""
