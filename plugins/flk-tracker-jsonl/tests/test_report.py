"""report.html: what is on the page, and that nothing on it can do harm or outgrow it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flk.spi.records import Fact, Metric, RunRecord
from flk_tracker_jsonl import JsonlTracker
from hypothesis import given
from hypothesis import strategies as st

VOID = {"meta", "link", "br", "img", "input", "hr"}
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer"),
    *("figure", "figcaption", "div", "span", "p", "dl", "dt", "dd", "h1", "h2", "h3", "b", "i"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "g", "path", "rect", "circle", "use"),
    "text",
}
LIMIT = 2_000_000


class Page(HTMLParser):
    """A strict reader: fails on tags that are not closed in order."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(data.decode("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    def headings(self) -> list[str]:
        known = ("Result", "Curves", "Split of the data", "Last values by site", "Failures")
        return [text for text in self.texts if text in known]


def report(
    folder: Path,
    records: Iterable[Metric | Fact] = (),
    *,
    sites: tuple[str, ...] = ("site-1", "site-2"),
    status: str = "completed",
    failures: Iterable[tuple[str, str]] = (),
    **summary: Any,
) -> Page:
    tracker = JsonlTracker()
    tracker.start(RunRecord("r1", "digits", "sim", sites, folder, 1.7e9, 7))
    tracker.log(list(records))
    for site, error in failures:
        tracker.flk_on_site_answered("train", site, error)
    tracker.finish(status, summary)
    data = (folder / "report.html").read_bytes()
    assert len(data) < LIMIT
    page = Page(data)
    assert set(page.tags) <= KNOWN
    return page


def series(name: str, site: str, values: Iterable[float]) -> list[Metric | Fact]:
    return [Metric(name, value, site, step, step, 1.0) for step, value in enumerate(values)]


def test_the_head_tells_job_environment_sites_rounds_seconds_and_seed(tmp_path: Path) -> None:
    page = report(tmp_path, rounds=10, seconds=12.345)
    for told in ("digits", "completed", "sim", "2", "10", "12.35", "7"):
        assert told in page.texts
    assert page.headings() == []


def test_the_page_asks_nothing_of_the_network_and_holds_no_script(tmp_path: Path) -> None:
    records = series("loss", "server", [1, 0.5]) + series("loss", "site-1", [1, 0.75])
    page = report(tmp_path, records, result={"accuracy": 0.5})
    loading = {"src", "srcset", "data", "action", "xlink:href"}
    assert not [name for name, _ in page.attributes if name in loading or name.startswith("on")]
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|url\(|@import|//[a-z]", text)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_numbers_of_the_result_stand_in_a_table(tmp_path: Path) -> None:
    result = {"federated accuracy": 0.9531, "local-only accuracy": 0.6, "history": [1, 2]}
    page = report(tmp_path, result=result)
    assert page.headings() == ["Result"]
    assert "federated accuracy" in page.texts and "0.9531" in page.texts
    assert "history" not in page.text


def test_mappings_in_the_result_stand_in_rows_and_columns(tmp_path: Path) -> None:
    page = report(tmp_path, result={"site-1": {"acc": 0.5, "n": 10}, "site-2": {"acc": 0.25}})
    at = page.texts.index("acc")
    assert page.texts[at : at + 7] == ["acc", "n", "site-1", "0.5", "10", "site-2", "0.25"]


@pytest.mark.parametrize("result", [None, [1, 2], "text", {}, {"w": [1.0]}, {"a": {"b": "c"}}])
def test_other_results_are_left_out(tmp_path: Path, result: Any) -> None:
    assert "Result" not in report(tmp_path, result=result).headings()


def test_each_metric_has_a_chart_with_a_titled_line_a_site(tmp_path: Path) -> None:
    records = []
    for name in ("loss", "accuracy"):
        for site in ("server", "site-1", "site-2"):
            records += series(name, site, [0.1, 0.2, 0.4])
    page = report(tmp_path, records)
    assert page.tags.count("svg") == 2
    assert page.texts.count("site-1: 0.4 at the end") == 2
    assert page.texts.count("round") == 2
    assert "0.10" in page.texts or "0.1" in page.texts


def test_steps_that_are_not_rounds_are_called_steps(tmp_path: Path) -> None:
    records = [Metric("loss", 1.0 / (i + 1), "site-1", 0, 10 * i, 1.0) for i in range(4)]
    page = report(tmp_path, records)
    assert "step" in page.texts and "round" not in page.texts


def test_beyond_thirty_sites_quantiles_replace_the_lines(tmp_path: Path) -> None:
    records = []
    for i in range(31):
        records += series("loss", f"site-{i}", [i, i / 2])
    page = report(tmp_path, records)
    assert "middle 80 % of 31 sites" in page.text
    assert "use" not in page.tags


def test_what_is_not_finite_is_counted_and_marked(tmp_path: Path) -> None:
    records = series("loss", "site-1", [1.0, math.nan, math.inf])
    page = report(tmp_path, records + series("other", "site-2", [math.nan]))
    assert "2 values not finite" in page.text and "No finite value was logged." in page.text
    assert "∞" in page.texts and "NaN" in page.texts


def test_values_far_apart_are_drawn_on_a_logarithmic_scale(tmp_path: Path) -> None:
    page = report(tmp_path, series("norm", "site-1", [1000.0, 0.01]))
    assert "Logarithmic scale." in page.text


def test_counts_by_label_are_drawn_as_the_split(tmp_path: Path) -> None:
    facts = [
        Fact("labels", {"0": 12, "1": 3}, "site-1", 1.0),
        Fact("labels", {"1": 8}, "site-2", 1.0),
    ]
    page = report(tmp_path, facts)
    assert page.headings() == ["Split of the data"]
    for told in ("site-1, 0: 12", "site-2, 0: 0", "site-2, 1: 8", "15"):
        assert told in page.texts


def test_of_many_sites_and_labels_the_split_shows_some_and_says_so(tmp_path: Path) -> None:
    facts = [
        Fact("labels", {str(k): i + k for k in range(50)}, f"site-{i}", 1.0) for i in range(500)
    ]
    page = report(tmp_path, facts, sites=tuple(f"site-{i}" for i in range(500)))
    assert "40 of 500 sites" in page.text and "19 largest of 50 labels" in page.text
    assert page.tags.count("rect") <= 40 * 21


def test_other_facts_stand_beside_the_last_values(tmp_path: Path) -> None:
    records = series("loss", "site-1", [1.0, 0.625])
    page = report(tmp_path, [*records, Fact("device", "cuda", "site-1", 1.0)])
    at = page.texts.index("Last values by site")
    assert "cuda" in page.texts[at:] and "0.625" in page.texts[at:]


def test_failures_are_listed_with_site_and_sentence(tmp_path: Path) -> None:
    page = report(tmp_path, failures=[("site-2", "ValueError: <no> data")], error="no quorum")
    assert page.headings() == ["Failures"]
    assert "ValueError: <no> data" in page.texts and "no quorum" in page.texts


def test_a_run_started_again_shows_each_step_once(tmp_path: Path) -> None:
    report(tmp_path, series("loss", "site-1", [3.0, 2.0, 1.0]))
    again = [Metric("loss", 1.5, "site-1", 2, 2, 1.0), Metric("loss", 1.25, "site-1", 3, 3, 1.0)]
    page = report(tmp_path, again)
    assert "site-1: 1.25 at the end" in page.texts
    (path,) = re.findall(r' d="(M[^"]*)"/><use', (tmp_path / "report.html").read_text("utf-8"))
    assert path.count("L") == 3


def test_a_second_run_of_one_tracker_shows_nothing_of_the_first(tmp_path: Path) -> None:
    tracker = JsonlTracker()
    for name in ("first", "second"):
        tracker.start(RunRecord(name, "digits", "sim", (), tmp_path / name, 1.7e9))
        tracker.log(series(name, "server", [1.0, 2.0]))
        tracker.flk_on_site_answered("train", f"{name} site", "broken disk")
        tracker.finish("completed", {})
    page = Page((tmp_path / "second" / "report.html").read_bytes())
    assert "second site" in page.texts and "second" in page.texts
    assert "first site" not in page.texts and "first" not in page.texts


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '" onload="alert(1)', "</title></svg>", "a&b\x00\x1b[31m"]
)
def test_names_of_others_stay_text(tmp_path: Path, name: str) -> None:
    tracker = JsonlTracker()
    tracker.start(RunRecord(name, name, name, (name,), tmp_path, 1.7e9))
    tracker.log(series(name, name, [1.0, 2.0]))
    tracker.log([Fact(name, {name: 3}, name, 1.0), Fact(name * 2, name, name, 1.0)])
    tracker.flk_on_site_answered(name, name, name)
    tracker.finish(name, {"result": {name: 0.5, "t": {name: 1}}, "error": name})
    data = (tmp_path / "report.html").read_bytes()
    page = Page(data)
    assert set(page.tags) <= KNOWN
    assert not [a for a, _ in page.attributes if a.startswith("on")]
    assert name.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")[:10] in page.text


@given(
    values=st.lists(st.floats(), min_size=1, max_size=8),
    steps=st.lists(st.integers(-(2**70), 2**70), min_size=8, max_size=8),
)
def test_any_values_and_steps_give_a_page_whose_charts_have_finite_places(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], steps: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    records = [
        Metric("m", v, site, None, s, 1.0)
        for site in ("server", "site-1")
        for v, s in zip(values, steps, strict=False)
    ]
    page = report(folder, records, result={"a": values[0]})
    shapes = [v for n, v in page.attributes if n in ("d", "cx", "cy", "x", "y", "points")]
    assert not [shape for shape in shapes if "nan" in shape or "inf" in shape]
    numbers = [float(n) for shape in shapes for n in re.findall(r"-?\d+\.?\d*", shape)]
    assert all(-5 <= n <= 1000 for n in numbers)


def test_thousands_of_sites_and_points_stay_below_the_limit(tmp_path: Path) -> None:
    sites = tuple(f"site-{i}" for i in range(3_000))
    records: list[Metric | Fact] = [
        Fact("labels", {"a": i, "b": 1}, s, 1.0) for i, s in enumerate(sites)
    ]
    for i, site in enumerate(sites):
        records += series("loss", site, [i, i / 2, i / 3])
    for number in range(40):
        records += series(f"long {number}", "server", [i % 17 for i in range(2_500)])
        records += series(f"long {number}", "site-1", [i % 19 for i in range(100)])
    page = report(tmp_path, records, sites=sites)
    assert "24 of 41 metrics are drawn." in page.text
    assert "The first 60 of 3,000 sites." in page.text
    assert "Lines are thinned" in page.text


def test_names_that_grow_when_they_are_escaped_stay_below_the_limit(tmp_path: Path) -> None:
    sites = tuple('"' * 70 + str(i) for i in range(100))
    labels = {'"' * 200 + str(k): k + 1 for k in range(60)}
    records: list[Metric | Fact] = []
    for site in sites:
        for name in ("a", "b", "c", "d"):
            records.append(Fact(name + '"' * 300, labels, site, 1.0))
    for number in range(24):
        for site in sites[:30]:
            records += series('"' * 70 + str(number), site, range(80))
    page = report(tmp_path, records, sites=sites, failures=[(s, '"' * 5_000) for s in sites])
    assert "2 of 4 descriptions are drawn." in page.text
