"""Says at the end of a run how many rounds were committed and how many answers were errors."""

from __future__ import annotations

import sys

from flk import hooks
from flk.spi.records import RunRecord

__all__ = ["AcmeObserver"]


class AcmeObserver:
    """One line on stderr. It may miss the beginning of a run."""

    def __init__(self) -> None:
        self._rounds = 0
        self._errors = 0

    @hooks.impl
    def flk_on_run_started(self, run: RunRecord) -> None:
        self._rounds = self._errors = 0

    @hooks.impl
    def flk_on_round_committed(self, number: int) -> None:
        self._rounds += 1

    @hooks.impl
    def flk_on_site_answered(self, error: str) -> None:
        self._errors += bool(error)

    @hooks.impl
    def flk_on_run_finished(self, run: RunRecord, status: str) -> None:
        line = f"{run.job} {status}: {self._rounds} rounds, {self._errors} errors"
        print(line, file=sys.stderr)
