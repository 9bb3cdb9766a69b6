"""Answers that wait for their turn outside of memory."""

from __future__ import annotations

import errno
import os

import pytest
from flk.errors import StorageError
from flk.wire import Codecs
from flk_env_sim.spill import spill_to

LARGE = {"a": b"x" * (3 << 20), "n": 7}


def test_a_large_value_comes_back_as_it_was(tmp_path):
    assert spill_to(tmp_path / "run", Codecs())(LARGE)() == LARGE


def test_it_leaves_no_file_behind(tmp_path):
    spill = spill_to(tmp_path, Codecs())
    loads = [spill(LARGE), spill(LARGE)]
    assert loads[0]() == LARGE
    del loads
    assert list(tmp_path.iterdir()) == []


def test_a_small_value_stays_in_memory(tmp_path):
    assert spill_to(tmp_path, Codecs())({"n": 7}) is None


def test_a_value_that_cannot_travel_stays_in_memory(tmp_path):
    assert spill_to(tmp_path, Codecs())([object()]) is None


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match="No space left"):
        spill_to(tmp_path, Codecs())(LARGE)
