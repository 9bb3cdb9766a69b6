"""For every test of the repository."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C; tests hear it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
