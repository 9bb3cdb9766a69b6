"""Metrics of a run as JSON lines in its folder, and one HTML page about it.

Not a database: one run a folder, written once and read as a whole.
"""

from __future__ import annotations

from flk_tracker_jsonl.lines import read_metrics
from flk_tracker_jsonl.tracker import JsonlTracker

__all__ = ["JsonlTracker", "read_metrics"]
