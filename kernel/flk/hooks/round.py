"""Hooks about rounds and the calls in them. Never one per frame or tensor; one per site only while
somebody listens."""

from __future__ import annotations

from flk.spi.records import RunRecord

__all__ = [
    "flk_on_call_finished",
    "flk_on_call_started",
    "flk_on_round_committed",
    "flk_on_round_started",
    "flk_on_site_answered",
]


def flk_on_round_started(run: RunRecord, number: int, total: int) -> None:
    """Round `number` of `total` begins; numbers count from 0."""


def flk_on_round_committed(run: RunRecord, number: int) -> None:
    """The state of round `number` is durable (where the run has a folder) and will not be computed
    again."""


def flk_on_call_started(run: RunRecord, function: str, sites: tuple[str, ...]) -> None:
    """A group call of the algorithm goes out to `sites`."""


def flk_on_site_answered(
    run: RunRecord, function: str, site: str, error: str, seconds: float
) -> None:
    """One site answered, or failed with `error` (a sentence). `seconds` count from the start of its
    work."""


def flk_on_call_finished(
    run: RunRecord, function: str, answered: int, failed: int, seconds: float
) -> None:
    """A group call is closed."""
