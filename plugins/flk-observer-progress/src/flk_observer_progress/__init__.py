"""Progress of runs on the terminal, by round and site.

Only shows: it decides nothing and keeps nothing.
"""

from __future__ import annotations

from flk_observer_progress.observer import ProgressObserver

__all__ = ["ProgressObserver"]
