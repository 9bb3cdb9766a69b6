"""How a call is made: the options of `flk.clients(...)`. Data and their validation, nothing
else."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from flk.errors import UsageError

__all__ = ["CallOption"]


@dataclass(frozen=True, slots=True)
class CallOption:
    """Options of one call; `flk.clients(timeout=60, min_results=0.8).train(w)`.

    timeout: seconds a site may take; None waits as long as the site makes progress.
    blocking: wait for the results here; False returns at once with results that are still open.
    expect_result: False sends and forgets; the call returns None.
    parallel: how many sites of the group work at the same time; 0 leaves it to the environment.
    secure: encrypt end to end, past every relay. Within one process there is nothing to encrypt.
    optional: a failure is no error: a single-site call returns None, a group needs no quorum.
    target: name of a child object at the site.
    min_results: results needed, as a count or as a share of the sites (0.8); below it QuorumError.
    grace: seconds to wait for the others once `min_results` are there; None waits for all.
    callback: `callback(site, value)` is told each result as it comes, never two at a time, in site
        order; the results are then not kept. Raising ContributionRefused counts the site among the
        failures.
    retries: how often to ask again a site that was lost or did not answer in time; a site that did
        the work answers from memory, so it is never done twice.
    key: idempotency key; a site that answered a call of this function with this key answers the
        same again.
    """

    timeout: float | None = None
    blocking: bool = True
    expect_result: bool = True
    parallel: int = 0
    secure: bool = False
    optional: bool = False
    target: str | None = None
    min_results: int | float | None = None
    grace: float | None = None
    callback: Callable[[str, Any], Any] | None = None
    retries: int = 0
    key: str | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "grace"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value >= 0):
                raise UsageError(f"{name}={value!r} is not a number of seconds")
        for name in ("parallel", "retries"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise UsageError(f"{name}={value!r} is not a count")
        if self.min_results is not None and not (
            _is_number(self.min_results) and self.min_results >= 0
        ):
            raise UsageError(f"min_results={self.min_results!r} is neither a count nor a share")
        if isinstance(self.min_results, float) and self.min_results > 1:
            raise UsageError(
                f"min_results={self.min_results!r} is a share above 1",
                cure="Write a count as an integer",
            )

    @property
    def patience(self) -> float | None:
        """Seconds until a site counts as too late. Asking a site again that is still at work is
        waiting again."""
        return None if self.timeout is None else self.timeout * (1 + self.retries)

    def but(self, changes: dict[str, Any]) -> CallOption:
        """These options with some changed; an unknown name is a UsageError that names the
        nearest."""
        try:
            return replace(self, **changes)
        except TypeError:
            known = [f.name for f in fields(CallOption)]
            unknown = next(name for name in changes if name not in known)
            near = difflib.get_close_matches(unknown, known, 1)
            raise UsageError(
                f"there is no call option {unknown!r}",
                cure=f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}",
            ) from None

    def needed(self, total: int) -> int:
        """How many of `total` sites must answer."""
        if self.optional or total == 0:
            return 0
        if self.min_results is None:
            return 1
        if isinstance(self.min_results, float):
            return math.ceil(self.min_results * total - 1e-9)
        return self.min_results


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
