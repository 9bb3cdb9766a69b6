"""When the observer has something to do at all."""

from __future__ import annotations

import io

import pytest
from flk_observer_progress import ProgressObserver


@pytest.mark.parametrize(
    ("mode", "idle"), [("never", True), ("auto", True), ("plain", False), ("always", False)]
)
def test_without_a_terminal_it_is_idle_unless_told_to_show(mode, idle, monkeypatch) -> None:
    monkeypatch.setenv("FLK_PROGRESS", mode)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert ProgressObserver().idle is idle


def test_a_mode_that_does_not_exist_is_not_hidden_by_idleness(monkeypatch) -> None:
    monkeypatch.setenv("FLK_PROGRESS", "loud")
    assert not ProgressObserver().idle
