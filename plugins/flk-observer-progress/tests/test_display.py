"""What is shown: rows, crowds, failures, and plain lines."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from flk.errors import ConfigError
from flk.spi.records import Fact, Metric, RunRecord
from flk_observer_progress import ProgressObserver
from flk_observer_progress.live import draw
from flk_observer_progress.observer import choose
from flk_observer_progress.view import RunView
from rich.console import Console


def a_run(count: int = 3, job: str = "digits", identity: str = "r1") -> RunRecord:
    sites = tuple(f"site-{i + 1}" for i in range(count))
    return RunRecord(identity, job, "sim", sites, None, 1.7e9, 0)


def metric(name: str, value: float, site: str = "server") -> Metric:
    return Metric(name, value, site, 0, 0, 1.0)


def drawn(view: RunView, *, width: int = 110, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, record=True, width=width, height=40, force_terminal=True)
    console.print(draw(view, console))
    return console.export_text()


def test_a_site_each_has_a_row_with_what_it_does() -> None:
    view = RunView(a_run(4))
    view.round_started(2, 10)
    view.round_committed(1)
    view.call_started("train", ("site-1", "site-2", "site-3"))
    view.site_answered("site-1", "", 0.125)
    view.site_answered("site-3", "ValueError: no data", 0.5)
    view.logged([metric("accuracy", 0.9123), metric("loss", 0.5, "site-1")])
    head, one, two, three, four = drawn(view).splitlines()
    assert "digits" in head and "round 3/10" in head and "accuracy 0.9123" in head
    assert "site-1" in one and "0.12 s" in one and "loss 0.5" in one
    assert "site-2" in two and "train" in two
    assert "site-3" in three and "failed" in three and "ValueError: no data" in three
    assert "site-4" in four and "waiting" in four


def test_many_sites_share_a_bar_and_failures_are_named_beneath() -> None:
    view = RunView(a_run(1000))
    view.round_started(0, 3)
    view.call_started("train", a_run(1000).sites)
    for i in range(600):
        view.site_answered(f"site-{i + 1}", "broken disk" if i == 7 else "", 0.1)
    lines = drawn(view).splitlines()
    assert len(lines) == 3
    assert "599/1,000 sites, 1 failed" in lines[1]
    assert "site-8: broken disk" in lines[2]


def test_a_run_without_known_rounds_can_be_drawn() -> None:
    view = RunView(a_run(0))
    assert "round 0" in drawn(view)
    view.round_started(4, 0)
    assert "round 5" in drawn(view)


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    view = RunView(a_run(2))
    view.call_started("train", ("site-1", "site-2"))
    view.site_answered("site-1", "", 0.1)
    view.site_answered("site-2", "broken", 0.1)
    rows = drawn(view, encoding="ascii").splitlines()[1:]
    assert rows[0].startswith("+") and rows[1].startswith("x")


def test_a_narrow_terminal_shortens_and_never_wraps() -> None:
    view = RunView(a_run(2))
    view.call_started("train", ("site-1", "site-2"))
    view.site_answered("site-1", "a sentence " * 40, 0.1)
    view.logged([metric("m" * 50 + str(i), 0.1) for i in range(9)])
    lines = drawn(view, width=40).splitlines()
    assert len(lines) == 3 and all(len(line) <= 40 for line in lines)


@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b]0;title\x07", "[red]markup[/red]", "a\nb\rc", "\u202e"]
)
def test_text_of_others_is_shown_and_not_obeyed(text: str) -> None:
    run = RunRecord("r1", text, "sim", (text, "site-2"), None, 1.0)
    view = RunView(run)
    view.call_started(text, run.sites)
    view.site_answered(text, text, 0.1)
    view.logged([metric(text, 0.5), metric(text, 0.5, "site-2")])
    shown = drawn(view)
    assert len(shown.splitlines()) == 3
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)
    if text.startswith("[red]"):
        assert text in shown


def test_nothing_is_shown_by_default_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FLK_PROGRESS", raising=False)
    tell_a_run(ProgressObserver())
    assert capsys.readouterr().err == ""


def test_plain_is_one_line_a_committed_round_and_an_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLK_PROGRESS", "plain")
    tell_a_run(ProgressObserver())
    assert capsys.readouterr().err.splitlines() == [
        "digits: started with 3 sites",
        "digits: round 1/2, 2 answered, 1 failed  accuracy 0.5",
        "digits: round 2/2, 2 answered, 1 failed  accuracy 0.75",
        "digits: failed, 2 rounds, 1.5 s  accuracy 0.75",
        "  no quorum",
        "  site-3 failed 2 times, at last: broken disk",
    ]


def test_plain_bears_a_stream_that_cannot_show_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setenv("FLK_PROGRESS", "plain")
    observer = ProgressObserver()
    observer.flk_on_run_started(a_run(job="größe"))
    assert b"gr\\xf6\\xdfe: started" in file.buffer.getvalue()


def test_live_leaves_one_line_about_the_end_and_one_a_failing_site(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLK_PROGRESS", "always")
    monkeypatch.setenv("NO_COLOR", "1")
    tell_a_run(ProgressObserver())
    shown = capsys.readouterr().err
    end = shown[shown.index("digits: failed") :]
    assert "no quorum" in end and "site-3 failed 2 times, at last: broken disk" in end


def test_the_display_lasts_until_the_last_of_several_runs_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLK_PROGRESS", "always")
    observer = ProgressObserver()
    first, second = a_run(identity="a", job="first"), a_run(identity="b", job="second")
    observer.flk_on_run_started(first)
    observer.flk_on_run_started(second)
    observer.flk_on_run_finished(first, "completed", "", 1.0)
    middle = capsys.readouterr().err
    observer.flk_on_run_finished(second, "completed", "", 1.0)
    assert "first: completed" in middle and "second: completed" not in middle
    assert "second: completed" in capsys.readouterr().err


def test_an_unknown_mode_is_refused_with_a_cure() -> None:
    with pytest.raises(ConfigError, match="plain"):
        choose("loud", None)


def test_without_standard_error_nothing_is_shown() -> None:
    assert choose("always", None) is None


def test_rich_is_not_imported_before_a_run_is_shown() -> None:
    script = (
        "import sys\n"
        "from flk.spi.records import RunRecord\n"
        "from flk_observer_progress import ProgressObserver\n"
        "observer = ProgressObserver()\n"
        "observer.flk_on_run_started(RunRecord('r', 'j', 'sim', (), None, 1.0))\n"
        "assert 'rich' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], timeout=60, check=True, stderr=subprocess.PIPE, env={}
    )


def tell_a_run(observer: ProgressObserver) -> None:
    run = a_run()
    observer.flk_on_run_started(run)
    for number in range(2):
        observer.flk_on_round_started(run, number, 2)
        observer.flk_on_call_started(run, "train", run.sites)
        observer.flk_on_site_answered(run, "site-1", "", 0.1)
        observer.flk_on_site_answered(run, "site-2", "", 0.1)
        observer.flk_on_site_answered(run, "site-3", "broken disk", 0.1)
        observer.flk_on_call_finished(run, 2, 1)
        labels = Fact("labels", {"0": 1}, "site-1", 1.0)
        observer.flk_on_metrics(run, [labels, metric("accuracy", 0.5 + number / 4)])
        observer.flk_on_round_committed(run, number)
    observer.flk_on_run_finished(run, "failed", "no quorum", 1.5)
