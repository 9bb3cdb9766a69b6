"""The table of measurements tells a missed aim from a reached one, and never hides a failure."""

from __future__ import annotations

import json
import sys

import pytest

from tests import bench
from tests.bench import __main__ as runner
from tests.bench import peers


@pytest.mark.parametrize(
    ("value", "aim", "expected"),
    [(0.8, ">= 0.8", True), (0.79, ">= 0.8", False), (1.2, "< 1.2", False), (1.19, "< 1.2", True)],
)
def test_an_aim_is_compared_with_the_figure(value, aim, expected) -> None:
    assert runner.reached(value, aim) is expected


def test_a_missed_aim_stands_out_in_the_table() -> None:
    row = {"what": "calls", "value": 0.5, "unit": "x", "aim": ">= 0.8"}
    assert runner.line("simulation", row) == "| simulation | calls | 0.5 x | >= 0.8 | **no** |"


def test_large_figures_are_written_in_full() -> None:
    row = {"what": "calls", "value": 1087.6, "unit": "times faster", "aim": ""}
    assert "| 1,088 times faster |" in runner.line("simulation", row)


def test_a_peer_that_is_not_installed_has_a_row_that_says_so(capsys) -> None:
    bench.skipped("beside a peer", "it is not installed")
    row = json.loads(capsys.readouterr().out)
    assert "it is not installed" in runner.line("simulation", row)


def test_a_measurement_that_does_not_exist_is_refused() -> None:
    assert runner.main(["no_such_measurement"]) == 2


def test_a_measurement_that_breaks_makes_the_runner_fail(monkeypatch) -> None:
    monkeypatch.setattr(runner, "names", lambda: ["broken"])
    assert runner.main([]) == 1


# peers --------------------------------------------------------------------------------------------


@pytest.fixture
def peer(monkeypatch, tmp_path):
    """Makes a peer whose app is the code given."""
    monkeypatch.setattr(peers, "APPS", tmp_path)
    monkeypatch.setenv("FLK_BENCH_ACME", sys.executable)

    def make(code: str) -> peers.Peer:
        (tmp_path / "with_acme.py").write_text(code, encoding="utf-8")
        return peers.Peer("acme_is_not_here", "FLK_BENCH_ACME", "", 5)

    return make


def test_a_peer_is_found_through_its_variable_and_else_absent(peer, monkeypatch) -> None:
    acme = peer("")
    assert acme.python() == sys.executable
    monkeypatch.delenv("FLK_BENCH_ACME")
    assert acme.python() is None


def test_a_peers_figure_is_the_median_of_its_rounds_without_the_first(peer) -> None:
    acme = peer("""print('a log line'); [print('{"seconds": %d}' % n) for n in (90, 1, 2, 3)]""")
    assert peers.seconds_of(acme, sys.executable, 10) == 2


def test_a_peer_that_breaks_has_no_figure(peer) -> None:
    with pytest.raises(peers.NoFigureError, match="0 rounds of 10 sites at its exit with 3"):
        peers.seconds_of(peer("raise SystemExit(3)"), sys.executable, 10)


def test_a_peer_that_takes_too_long_ends_with_all_that_it_started(peer, monkeypatch) -> None:
    monkeypatch.setattr(peers, "SECONDS", 0.5)
    child = "import signal; signal.pause()"
    acme = peer(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}],"
        " start_new_session=True)"
    )
    with pytest.raises(peers.NoFigureError, match=r"0 rounds of 10 sites after 0\.5 s"):
        peers.seconds_of(acme, sys.executable, 10)  # returns once nobody holds its output


def test_sites_beyond_those_without_a_figure_are_not_tried(peer, capsys) -> None:
    peers.compare("Acme", peer("raise SystemExit(3)"), sys.executable)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["why"] for row in rows] == ["0 rounds of 10 sites at its exit with 3"] * 3
