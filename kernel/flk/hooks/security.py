"""Steps that decide. All fail closed: an implementation that raises, hangs for 5 s or answers
anything but True or a sentence refuses, and says so by name. An installed observer that decides is
registered in the group `flk.deciders.v1`; one that cannot be loaded stops every run. Without any
implementation a step is open."""

from __future__ import annotations

from flk.spi.records import RunRecord

__all__ = ["flk_admit_run"]


def flk_admit_run(run: RunRecord) -> bool | str:  # type: ignore[empty-body]
    """May this run start here? True, or a sentence that says why not. Every implementation must
    admit it."""
