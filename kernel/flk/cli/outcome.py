"""What became of a run, for people and for scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flk.cli.tables import table

if TYPE_CHECKING:
    from flk.job import Run

__all__ = ["explain", "summary", "told"]

_SHOWN = 10
"""So many failing sites have a line each."""


def told(done: Run) -> dict[str, Any]:
    """As JSON. `metrics` are the server's last ones; `result` is there if it is plain data."""
    from flk.job.execution import is_plain
    from flk.job.place import place_of, sentence

    report = _report(done)
    found = {
        "status": done.status,
        "job": done.record.job,
        "run": done.id,
        "environment": done.record.environment,
        "seed": done.record.seed,
        "sites": len(done.sites),
        "rounds": done.rounds,
        "seconds": round(done.seconds, 3),
        "metrics": done.last(),
        "result": done.result if is_plain(done.result) else None,
        "failures": _failures(done),
        "error": sentence(done.error) if done.error else None,
        "where": place_of(done.error) or None if done.error else None,
        "folder": str(done.folder) if done.folder else None,
        "report": str(report) if report else None,
    }
    finite: dict[str, Any] = _finite(found)
    return finite


def summary(done: Run) -> str:
    """As text: counts, the server's last metrics, the result if it is a table, and where the files
    are."""
    counts = [(done.rounds, "round"), (len(done.sites), "site")]
    text = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts]
    blocks = [f"{done.record.job} {done.status}: {', '.join(text)}, {done.seconds:.1f} s\n"]
    if done.last():
        blocks.append(table(sorted(done.last().items())))
    blocks.append(_result(done.result))
    failed = [(f["site"], f"{f['times']} x", f["last"], f["where"]) for f in _failures(done)]
    if failed:
        blocks.append("failed at sites\n" + table(failed[:_SHOWN]))
        if len(failed) > _SHOWN:
            blocks.append(f"  and at {len(failed) - _SHOWN} more sites\n")
    places = (("run folder", done.folder), ("report", _report(done)))
    blocks.append(table([(name, _near(path)) for name, path in places if path]))
    return "\n".join(filter(None, blocks))


def explain(done: Run, debug: bool) -> None:
    """Say on stderr why the run did not complete, and where; with `debug` the whole traceback."""
    from flk.job.place import place_of, sentence, trace_of

    if done.error is None:
        return
    if debug:
        click.echo(trace_of(done.error), err=True, nl=False)
    if done.status == "aborted":
        click.echo(f"Aborted: {sentence(done.error)}", err=True)
        return
    place = place_of(done.error)
    click.echo(f"Error: {sentence(done.error)}" + (f"\n  at {place}" if place else ""), err=True)


def _failures(done: Run) -> list[dict[str, Any]]:
    """A row a site: how often it failed, and the last time how and where in the user's code."""
    from flk.job.place import place_of

    sites: dict[str, list[Any]] = {}
    for error in list(done.failures):
        sites.setdefault(error.site, []).append(error)
    return [
        {
            "site": site,
            "times": len(errors),
            "last": errors[-1].what.removeprefix(f"{site}: "),
            "where": place_of(errors[-1]),
        }
        for site, errors in sorted(sites.items())
    ]


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become strings."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _report(done: Run) -> Path | None:
    report = done.folder / "report.html" if done.folder else None
    return report if report is not None and report.is_file() else None


def _result(result: Any) -> str:
    """A result as a table, where it is one."""
    if isinstance(result, bool | int | float | str):
        return table([("result", result)])
    if not isinstance(result, Mapping) or not result:
        return ""
    values = list(result.values())
    if all(isinstance(v, bool | int | float | str) for v in values):
        return table(list(result.items()))
    if all(isinstance(v, Mapping) for v in values):
        columns = list(dict.fromkeys(name for v in values for name in v))
        rows = [(name, *(v.get(c, "") for c in columns)) for name, v in result.items()]
        return table([("", *columns), *rows]) if _scalars(values) else ""
    return ""


def _scalars(values: list[Mapping[str, Any]]) -> bool:
    return all(isinstance(x, bool | int | float | str) for v in values for x in v.values())


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
