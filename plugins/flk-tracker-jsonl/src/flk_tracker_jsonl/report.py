"""report.html: one page that carries everything it shows. Sections are strings; the charts are
made elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, TypeGuard

from flk.spi.records import RunRecord

from flk_tracker_jsonl.curves import curves
from flk_tracker_jsonl.gather import SERVER, Failure, Gathered
from flk_tracker_jsonl.split import is_split, split
from flk_tracker_jsonl.text import escape, natural, number, plural, short

__all__ = ["page"]

_MAX_CHARTS = 24
_MAX_SPLITS = 2
_MAX_RESULTS = 40
_MAX_RESULT_COLUMNS = 8
_MAX_SITES = 60
_MAX_COLUMNS = 8
_MAX_FACTS = 3
_MAX_FAILURES = 40
_POINTS = 60_000


def page(
    run: RunRecord,
    status: str,
    summary: Mapping[str, Any],
    gathered: Gathered,
    failures: Sequence[Failure] = (),
    failed: int = 0,
) -> bytes:
    """The page in UTF-8, below 2 MB. `failed` counts all failures, of which `failures` are the
    first."""
    order = _order(run, gathered)
    sections = [
        _head(run, status, summary),
        _result(summary.get("result")),
        _curves(gathered),
        _splits(gathered, order),
        _sites(gathered, order),
        _failures(failures, failed),
        _foot(summary, gathered),
    ]
    style = files(__package__).joinpath("report.css").read_text("utf-8")
    title = f"{short(run.job, 80)} · {status}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, sections))
        + "\n</main>\n</body>\n</html>\n"
    ).encode("utf-8", "replace")


def _order(run: RunRecord, gathered: Gathered) -> list[str]:
    """The run's sites, then others by name; without the server."""
    known = dict.fromkeys(run.sites)
    seen = {site for measure in gathered.measures.values() for site in measure.series}
    seen |= {site for by_site in gathered.facts.values() for site in by_site}
    known |= dict.fromkeys(sorted(seen - set(known), key=natural))
    return [site for site in known if site != SERVER]


def _head(run: RunRecord, status: str, summary: Mapping[str, Any]) -> str:
    started = datetime.fromtimestamp(min(max(run.started, 0), 2**37), UTC)
    facts: list[tuple[str, str]] = [
        ("environment", short(run.environment, 30)),
        ("sites", f"{len(run.sites):,}"),
        ("rounds", _told(summary.get("rounds"))),
        ("seconds", _told(summary.get("seconds"))),
        ("seed", "none" if run.seed is None else str(run.seed)),
        ("started", f"{started:%Y-%m-%d %H:%M} UTC"),
        ("run", short(run.id, 24)),
    ]
    kind = status if status in ("completed", "failed", "aborted") else "other"
    pairs = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts if v)
    error = summary.get("error")
    reason = f'<p class="error">{escape(short(error, 2_000))}</p>' if error else ""
    return (
        f'<header><p class="kicker">Federated run</p><h1>{escape(short(run.job, 120))}</h1>'
        f'<p class="status {kind}">{escape(status)}</p>{reason}<dl>{pairs}</dl></header>'
    )


def _told(value: object) -> str:
    return number(float(f"{value:.2f}")) if _is_number(value) else ""


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 1 << 1000
    return isinstance(value, float)


def _result(result: object) -> str:
    if _is_number(result):
        result = {"result": result}
    if not isinstance(result, Mapping):
        return ""
    numbers = {str(k): float(v) for k, v in result.items() if _is_number(v)}
    tables = {
        str(k): {str(n): float(x) for n, x in v.items() if _is_number(x)}
        for k, v in result.items()
        if isinstance(v, Mapping)
    }
    tables = {name: row for name, row in tables.items() if row}
    body = (_numbers(numbers) if numbers else "") + (_table(tables) if tables else "")
    return f"<section><h2>Result</h2>{body}</section>" if body else ""


def _numbers(numbers: Mapping[str, float]) -> str:
    """A row a number; with a bar where all lie between 0 and 1."""
    bars = len(numbers) > 1 and all(0 <= n <= 1 for n in numbers.values())
    rows = []
    for name, n in list(numbers.items())[:_MAX_RESULTS]:
        bar = f'<td class="share"><i style="width:{100 * n:.1f}%"></i></td>' if bars else ""
        rows.append(f'<tr><th scope="row">{_name(name)}</th><td>{number(n)}</td>{bar}</tr>')
    kind = "result bars" if bars else "result"
    return f'<table class="{kind}"><tbody>{"".join(rows)}</tbody></table>{_more(numbers)}'


def _table(tables: Mapping[str, Mapping[str, float]]) -> str:
    columns = list(dict.fromkeys(c for row in tables.values() for c in row))[:_MAX_RESULT_COLUMNS]
    head = "".join(f'<th scope="col">{_name(column, 20)}</th>' for column in columns)
    rows = [
        f'<tr><th scope="row">{_name(name)}</th>'
        + "".join(f"<td>{number(row[c]) if c in row else ''}</td>" for c in columns)
        + "</tr>"
        for name, row in list(tables.items())[:_MAX_RESULTS]
    ]
    return (
        f'<div class="scroll"><table class="result"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{_more(tables)}"
    )


def _more(rows: Mapping[str, object]) -> str:
    if len(rows) <= _MAX_RESULTS:
        return ""
    return f'<p class="note">The first {_MAX_RESULTS} of {len(rows):,}; all are in run.json.</p>'


def _name(name: str, width: int = 40) -> str:
    """Escaped, shortened, with the long form as a tip."""
    if len(name) <= width:
        return escape(name)
    return f'<span title="{escape(short(name, 300))}">{escape(short(name, width))}</span>'


def _curves(gathered: Gathered) -> str:
    measures = sorted(gathered.measures.values(), key=lambda m: SERVER not in m.series)
    if not measures:
        return ""
    shown = measures[:_MAX_CHARTS]
    budget = min(8_000, _POINTS // len(shown))
    charts = "".join(curves(m, budget, f"c{i}") for i, m in enumerate(shown))
    note = ""
    if len(measures) > len(shown):
        note = f'<p class="note">{len(shown)} of {plural(len(measures), "metric")} are drawn.</p>'
    return f'<section><h2>Curves</h2><div class="charts">{charts}</div>{note}</section>'


def _splits(gathered: Gathered, order: Sequence[str]) -> str:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, by_site in gathered.facts.items():
        split_sites = {site: value for site, value in by_site.items() if is_split(value)}
        if split_sites:
            found[name] = split_sites
    if not found:
        return ""
    everyone = [SERVER, *order]
    body = "".join(split(n, s, everyone) for n, s in list(found.items())[:_MAX_SPLITS])
    note = ""
    if len(found) > _MAX_SPLITS:
        note = f'<p class="note">{_MAX_SPLITS} of {len(found):,} descriptions are drawn.</p>'
    return f"<section><h2>Split of the data</h2>{body}{note}</section>"


def _sites(gathered: Gathered, order: Sequence[str]) -> str:
    """Last values: the server, the spread over the sites where there are many, each site."""
    measures = list(gathered.measures.values())
    columns = sorted(measures, key=lambda m: len(m.series) < 2)[:_MAX_COLUMNS]
    facts = {
        name: by_site
        for name, by_site in gathered.facts.items()
        if any(isinstance(v, str) or _is_number(v) for v in by_site.values())
    }
    facts = dict(list(facts.items())[:_MAX_FACTS])
    if not columns and not facts:
        return ""
    known = {s for m in columns for s in m.series} | {s for f in facts.values() for s in f}
    sites = [site for site in order if site in known]
    last = [{s: v.last for s, v in m.series.items()} for m in columns]
    head = "".join(f'<th scope="col">{_name(m.name, 18)}</th>' for m in columns)
    head += "".join(f'<th scope="col" class="fact">{_name(name, 18)}</th>' for name in facts)
    rows = []
    if SERVER in known:
        rows.append(_site_row(SERVER, last, facts, "server"))
    if len(sites) > 12:
        for name, pick in _SPREAD:
            cells = "".join(f"<td>{_spread(column, pick)}</td>" for column in last)
            blank = "<td></td>" * len(facts)
            rows.append(f'<tr class="spread"><th scope="row">{name}</th>{cells}{blank}</tr>')
    rows += [_site_row(site, last, facts, "") for site in sites[:_MAX_SITES]]
    notes = []
    if len(sites) > _MAX_SITES:
        notes.append(f"The first {_MAX_SITES} of {len(sites):,} sites.")
    if len(measures) > _MAX_COLUMNS:
        notes.append(f"{_MAX_COLUMNS} of {len(measures):,} metrics.")
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    return (
        '<section><h2>Last values by site</h2><div class="scroll"><table class="sites"><thead>'
        f'<tr><th scope="col">site</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f"</div>{note}</section>"
    )


_SPREAD: tuple[tuple[str, Callable[[list[float]], float]], ...] = (
    ("lowest site", min),
    ("median site", lambda values: sorted(values)[len(values) // 2]),
    ("highest site", max),
)


def _spread(column: Mapping[str, float], pick: Callable[[list[float]], float]) -> str:
    values = [v for site, v in column.items() if site != SERVER and math.isfinite(v)]
    return number(pick(values)) if values else ""


def _site_row(
    site: str,
    last: Sequence[Mapping[str, float]],
    facts: Mapping[str, Mapping[str, Any]],
    kind: str,
) -> str:
    cells = []
    for column in last:
        value = column.get(site)
        bad = "" if value is None or math.isfinite(value) else ' class="bad"'
        cells.append(f"<td{bad}>{'' if value is None else number(value)}</td>")
    for by_site in facts.values():
        told = by_site.get(site)
        shown = number(float(told)) if _is_number(told) else told if isinstance(told, str) else ""
        cells.append(f'<td class="fact">{_name(str(shown), 24)}</td>')
    return f'<tr class="{kind}"><th scope="row">{_name(site, 28)}</th>{"".join(cells)}</tr>'


def _failures(failures: Sequence[Failure], failed: int) -> str:
    if not failures:
        return ""
    by_site = Counter(failure.site for failure in failures)
    rows = [
        f'<tr><td class="round">{"" if f.round is None else f.round}</td>'
        f'<th scope="row">{_name(f.site, 28)}</th><td class="text">{_name(f.function, 28)}</td>'
        f'<td class="text">{escape(short(f.error, 300))}</td></tr>'
        for f in failures[:_MAX_FAILURES]
    ]
    often = ", ".join(f"{escape(short(s, 28))} ({n})" for s, n in by_site.most_common(5))
    more = "" if failed <= len(rows) else f" The first {len(rows)} are listed."
    return (
        f'<section><h2>Failures</h2><p class="note">{plural(failed, "call")} failed; most often at '
        f'{often}.{more}</p><div class="scroll"><table class="failures"><thead><tr>'
        '<th scope="col">round</th><th scope="col">site</th><th scope="col">call</th>'
        f'<th scope="col">reason</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        "</section>"
    )


def _foot(summary: Mapping[str, Any], gathered: Gathered) -> str:
    notes = ["Rounds count from 0. Every number is in metrics.jsonl and run.json beside this page."]
    dropped = summary.get("dropped")
    if isinstance(dropped, int) and dropped > 0:
        notes.append(f"{plural(dropped, 'record')} were dropped because they came too fast.")
    if gathered.left_out:
        notes.append(f"{plural(gathered.left_out, 'record')} of further names are not shown.")
    return f"<footer><p>{' '.join(notes)}</p></footer>"
