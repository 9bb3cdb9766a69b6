"""The table of measurements tells a missed aim from a reached one, and never hides a failure."""

from __future__ import annotations

import pytest

from tests import bench
from tests.bench import __main__ as runner


@pytest.mark.parametrize(
    ("value", "aim", "expected"),
    [(0.8, ">= 0.8", True), (0.79, ">= 0.8", False), (1.2, "< 1.2", False), (1.19, "< 1.2", True)],
)
def test_an_aim_is_compared_with_the_figure(value, aim, expected) -> None:
    assert runner.reached(value, aim) is expected


def test_a_missed_aim_stands_out_in_the_table() -> None:
    row = {"what": "calls", "value": 0.5, "unit": "x", "aim": ">= 0.8"}
    assert runner.line("simulation", row) == "| simulation | calls | 0.5 x | >= 0.8 | **no** |"


def test_a_peer_that_is_not_installed_has_a_row_that_says_so(capsys) -> None:
    bench.skipped("beside a peer", "it is not installed")
    row = runner.json.loads(capsys.readouterr().out)
    assert "it is not installed" in runner.line("simulation", row)


def test_a_measurement_that_does_not_exist_is_refused() -> None:
    assert runner.main(["no_such_measurement"]) == 2


def test_a_measurement_that_breaks_makes_the_runner_fail(monkeypatch) -> None:
    monkeypatch.setattr(runner, "names", lambda: ["broken"])
    assert runner.main([]) == 1
