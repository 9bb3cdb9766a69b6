"""Options of calls: what is refused, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest
from flk.calls.options import CallOption
from flk.errors import UsageError


@pytest.mark.parametrize(
    "options",
    [{"timeout": -1}, {"timeout": "1"}, {"timeout": float("nan")}, {"timeout": True},
     {"grace": -0.1}, {"grace": float("inf")}, {"parallel": -1}, {"parallel": 1.5},
     {"retries": True}, {"min_results": -1}, {"min_results": 1.5}, {"min_results": "all"}],
)  # fmt: skip
def test_nonsense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        CallOption(**options)


def test_a_share_is_rounded_up() -> None:
    assert [CallOption(min_results=share).needed(10) for share in (0.0, 0.01, 0.8, 0.81, 1.0)] == [
        0, 1, 8, 9, 10,
    ]  # fmt: skip


def test_rounding_errors_of_a_share_do_not_ask_for_one_more() -> None:
    assert CallOption(min_results=0.07).needed(100) == 7


def test_an_optional_call_and_an_empty_group_need_nothing() -> None:
    assert CallOption(optional=True, min_results=3).needed(5) == 0
    assert CallOption(min_results=3).needed(0) == 0


def test_patience_is_the_timeout_of_each_time_of_asking() -> None:
    assert CallOption().patience is None
    assert CallOption(timeout=2, retries=2).patience == 6


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="'retries'"):
        CallOption().but({"retry": 1})
