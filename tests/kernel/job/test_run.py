"""Runs: what the submitter sees, and that their end is told whatever happens."""

from __future__ import annotations

import logging
from typing import Any

import flk
import pytest
from flk.errors import RunAborted
from flk.job.place import sentence, trace_of
from flk.testing.collab import Algorithm, Site
from flk.testing.local import LocalEnv, OneByOne


def run(algo: Any, client: Any = Site, **options: Any) -> flk.job.Run:
    environment = LocalEnv(2, **options)
    try:
        return flk.Recipe("run", Algorithm(algo), client, trackers=[]).execute(environment)
    finally:
        environment.stop()


def test_the_value_is_the_result_or_the_error() -> None:
    assert run(lambda: 7).value() == 7
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0).value()


def test_metrics_are_kept_by_site_and_in_order() -> None:
    def algo() -> None:
        for _ in flk.rounds(2):
            flk.log({"loss": 1.0 / (1 + flk.context.round), "lr": 0.1})
        flk.log({"after": 3})
        flk.log({"after": 4})

    done = run(algo)
    assert done.series("loss") == [(0, 1.0), (1, 0.5)]
    assert done.series("after") == [(0, 3.0), (1, 4.0)]
    assert done.last() == {"loss": 0.5, "lr": 0.1, "after": 4.0}
    assert done.last("site-1") == {}


def test_what_is_logged_is_kept_with_its_site() -> None:
    class Talking:
        @flk.collab
        def talk(self) -> None:
            logging.getLogger("mine").warning("hello from %s", flk.site)

    done = run(lambda: flk.clients.talk() and None, Talking)
    assert [(line.site, line.text) for line in done.logs if line.level == "WARNING"] == [
        ("site-1", "hello from site-1"),
        ("site-2", "hello from site-2"),
    ]


def test_no_text_of_a_site_steers_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as where nobody configured logging
    evil = "fine\r\x1b[2J\x00\u2028\u202egone\x9b0m"

    class Steering:
        @flk.collab
        def talk(self) -> None:
            logging.getLogger("mine").warning("%s", evil)
            raise ValueError(evil)

    def algo() -> None:
        assert len(flk.clients(optional=True).talk()) == 0
        flk.clients[0].talk()

    done = run(algo, Steering)
    texts = [line.text for line in done.logs] + [capsys.readouterr().err]
    texts += [sentence(done.error), trace_of(done.error)]  # type: ignore[arg-type]
    for text in texts:
        assert "fine\\r\\x1b[2J\\x00\\u2028\\u202egone\\x9b0m" in text
        assert text.replace("\n", "").isprintable()


def test_a_description_is_plain_data() -> None:
    done = run(lambda: flk.describe(labels={"0": 12, 1: (3.5, None)}))
    assert [(f.site, f.name, f.value) for f in done.facts] == [
        ("server", "labels", {"0": 12, "1": [3.5, None]})
    ]
    assert run(lambda: flk.describe(model=object())).status == "failed"


def test_a_metric_that_is_no_number_is_refused() -> None:
    assert "loss" in str(run(lambda: flk.log({"loss": "low"})).error)


def test_an_executor_that_cannot_be_closed_does_not_keep_the_run_from_ending() -> None:
    class Stuck(OneByOne):
        def close(self) -> None:
            raise OSError("stuck")

    done = run(lambda: 7, executor=Stuck())
    assert (done.status, done.result) == ("completed", 7)


def test_an_executor_that_breaks_fails_the_run() -> None:
    class Broken(OneByOne):
        def run(self, tasks: Any, done: Any, parallel: int) -> None:
            if next(iter(tasks)).function == "number":
                raise ConnectionError("the workers are gone")

    done = run(lambda: flk.clients.number(), executor=Broken())
    assert isinstance(done.error, ConnectionError)


def test_a_wait_ends_with_its_patience() -> None:
    import threading

    gate = threading.Event()
    environment = LocalEnv(1)
    recipe = flk.Recipe("run", Algorithm(lambda: gate.wait(20)), Site, trackers=[])
    going = recipe.execute(environment, wait=False)
    assert going.wait(0.01).status == "running"
    going.abort("enough")
    gate.set()
    environment.stop()
    assert going.status == "aborted"
    assert isinstance(going.error, RunAborted)
