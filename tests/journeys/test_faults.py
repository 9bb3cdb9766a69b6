"""Faults on purpose, and what an algorithm sees of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import flk
import numpy as np
import pytest
from flk.calls import Fault
from flk.errors import ConfigError, QuorumError, SiteLost
from flk.testing.collab import Algorithm, Site
from flk_env_sim import SimEnv


class Trainer(Site):
    @flk.collab
    def train(self, w: np.ndarray) -> tuple[np.ndarray, int]:
        return w + self.number() + np.float32(flk.rng().random()), 1 + flk.rng().randrange(5)


def run(algo: Callable[..., Any], num_clients: int = 3, **options: Any) -> Any:
    environment = SimEnv(num_clients, **options)
    try:
        return flk.Recipe("faults", Algorithm(algo), Trainer, trackers=[]).execute(environment)
    finally:
        environment.stop()


def failures(results: Any) -> dict[str, str]:
    return {site: type(error).__name__ for site, error in results.failures.items()}


def test_a_dropped_site_is_lost_before_it_ran() -> None:
    def algo() -> Any:
        results = flk.clients.tick()
        return failures(results), results.failures["site-2"].may_have_run, flk.clients[1].tick()

    placed = run(algo, faults={"site-2": {"drop": 0}})
    assert placed.value() == ({"site-2": "SiteLost"}, False, 1)


def test_a_lost_reply_was_worked_for() -> None:
    def algo() -> Any:
        results = flk.clients.tick()
        return failures(results), results.failures["site-2"].may_have_run, flk.clients[1].tick()

    placed = run(algo, faults={"site-2": {"reply_lost": 0}})
    assert placed.value() == ({"site-2": "SiteLost"}, True, 2)


@pytest.mark.parametrize("kind", ["drop", "reply_lost"])
@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_a_retry_reaches_the_site_and_its_work_is_done_once(kind: str, executor: str) -> None:
    def algo() -> Any:
        first = list(flk.clients(retries=1).tick())
        return first, list(flk.clients.tick())

    placed = run(algo, faults={"site-2": {kind: 0}}, executor=executor)
    assert placed.value() == ([1, 1, 1], [2, 2, 2])


def test_retries_end() -> None:
    def algo() -> Any:
        return failures(flk.clients(retries=2).tick())

    assert run(algo, faults={"site-2": {"drop": range(3)}}).value() == {"site-2": "SiteLost"}
    assert run(algo, faults={"site-2": {"drop": range(2)}}).value() == {}


def test_coroutines_are_retried_too() -> None:
    def algo() -> Any:
        return list(flk.clients(retries=1).add_async(1))

    assert run(algo, faults={"site-2": {"reply_lost": 0}}).value() == [2, 2, 2]


def test_a_lost_peer_is_an_error_of_the_site_that_called_it() -> None:
    def algo() -> Any:
        first = failures(flk.clients(optional=True)[:1].ring(1))
        return first, flk.clients[0].ring(1)

    placed = run(algo, faults={"site-2": {"drop": 0}})
    assert placed.value() == ({"site-1": "CallError"}, ["site-1", "site-2"])


def test_a_crash_takes_the_memory_and_leaves_the_state() -> None:
    def algo() -> Any:
        for _ in range(2):
            flk.clients.tick()
            flk.clients.tally()
        crashed = failures(flk.clients.tick())
        return crashed, list(flk.clients.tick()), list(flk.clients.tally())

    def plan(site: str, function: str, n: int) -> Fault | None:
        return Fault(restart=True) if (site, function, n) == ("site-2", "tick", 2) else None

    assert run(algo, faults=plan).value() == ({"site-2": "SiteLost"}, [4, 1, 4], [3, 3, 3])


def test_nan_is_refused_by_the_guard_and_the_round_goes_on() -> None:
    def algo() -> Any:
        found = []
        for blocking in (True, False):
            results = flk.clients(blocking=blocking).train(np.zeros(4, np.float32))
            mean = results.reduce("mean")
            found.append((bool(np.isfinite(mean).all()), failures(results)))
        return found

    placed = run(algo, faults={"site-2": {"nan": True}})
    assert placed.value() == [(True, {"site-2": "ContributionRefused"})] * 2


def test_a_repeated_answer_counts_once() -> None:
    def algo() -> Any:
        w = np.zeros(2, np.float32)
        results = flk.clients(blocking=False).train(w)
        mean = results.reduce("mean")
        return results.progress.answered, mean.tolist()

    assert run(algo, faults={"repeat": 1.0}).value() == run(algo).value()


def test_a_late_answer_misses_the_deadline_and_disturbs_nothing() -> None:
    def algo() -> Any:
        sent = ["sent"]
        results = flk.clients(timeout=60).keep(sent)
        sent.append("changed by the caller")
        late = failures(results)
        waiting = flk.clients[1].show_kept()
        return list(results), late, waiting

    placed = run(algo, faults={"site-2": {"late": 0}})
    assert placed.value() == ([["sent"]] * 2, {"site-2": "CallTimeout"}, ["sent"])


def test_a_delay_shorter_than_the_deadline_is_waited_for_in_no_time() -> None:
    def algo() -> Any:
        order = [s for s, _ in flk.clients(blocking=False, timeout=600).number().as_completed()]
        return order

    done = run(algo, faults={"site-1": {"delay": 500}, "site-2": {"delay": 100}})
    assert done.value() == ["site-3", "site-2", "site-1"]
    assert done.seconds < 60


def test_after_the_quorum_late_sites_are_cut_by_the_grace() -> None:
    def algo() -> Any:
        return failures(flk.clients(min_results=2, grace=50).number())

    placed = {"site-1": {"delay": 500}, "site-2": {"delay": 100}}
    assert run(algo, faults=placed).value() == {"site-1": "Cancelled"}


def test_who_answers_after_the_grace_is_not_among_results_taken_as_they_come() -> None:
    async def algo() -> Any:
        results = flk.clients(blocking=False, min_results=2, grace=0).number()
        return [site async for site, _ in results.as_completed()]

    delays = {f"site-{n}": {"delay": float(n)} for n in range(1, 6)}
    outcomes = [run(algo, 5, faults=delays).value() for _ in range(30)]
    assert outcomes == [["site-1", "site-2"]] * 30


def test_the_others_order_of_arrival_does_not_change_the_mean() -> None:
    def algo() -> Any:
        w = np.zeros(1000, np.float32)
        return flk.clients(blocking=False).train(w).reduce("mean").tobytes()

    shuffled = run(algo, 20, faults={"delay": 10.0}).value()
    assert shuffled == run(algo, 20).value()


def fed_avg() -> Any:
    seen = []
    rounds = flk.rounds(5, state={"w": np.zeros(100, np.float32)})
    for r in rounds:
        results = flk.clients(timeout=60, min_results=0.2, blocking=False).train(r.state["w"])
        try:
            r.state["w"] = results.reduce("mean")
        except QuorumError:
            pass
        seen.append(failures(results))
    return rounds.state["w"].tobytes(), seen


CHANCES = {"drop": 0.1, "reply_lost": 0.1, "crash": 0.05, "nan": 0.1, "late": 0.1, "delay": 20.0,
           "repeat": 0.2}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"executor": "threads"}, {"strict": True}])
def test_faults_by_chance_are_the_same_under_one_seed(options: dict[str, Any]) -> None:
    first = run(fed_avg, 20, faults=CHANCES, seed=3).value()
    assert run(fed_avg, 20, faults=CHANCES, seed=3, **options).value() == first
    assert run(fed_avg, 20, faults=CHANCES, seed=4).value() != first
    kinds = {kind for round_ in first[1] for kind in round_.values()}
    assert {"SiteLost", "CallTimeout", "ContributionRefused"} <= kinds


@pytest.mark.parametrize("kind", ["drop", "reply_lost", "crash"])
def test_each_fault_that_always_happens_misses_the_quorum(kind: str) -> None:
    done = run(lambda: flk.clients.number(), faults={kind: 1.0})
    assert isinstance(done.error, QuorumError)
    assert {type(error) for error in done.error.failures.values()} == {SiteLost}


def test_a_function_may_plan_faults() -> None:
    def plan(site: str, function: str, before: int) -> Fault | None:
        return Fault(lost=True) if (site, function, before) == ("site-1", "tick", 1) else None

    def algo() -> Any:
        return [failures(flk.clients.tick()) for _ in range(3)]

    assert run(algo, faults=plan).value() == [{}, {"site-1": "SiteLost"}, {}]


@pytest.mark.parametrize(
    "faults",
    [{"dorp": 0.1}, {"drop": 1.5}, {"drop": -0.1}, {"nan": float("nan")}, {"delay": -1.0},
     {"site-9": {"drop": 0}}, {"site-1": {"dorp": 0}}, {"site-1": 3}, {"drop": "often"},
     {"site-1": {"drop": "never"}}, {"site-1": {"delay": "x"}}],
)  # fmt: skip
def test_faults_that_nobody_understands_are_refused(faults: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        run(lambda: 1, faults=faults)


def test_serial_and_threads_give_the_same_bits() -> None:
    def algo() -> Any:
        return fed_avg()

    serial = run(algo, 50, seed=11).value()
    assert run(algo, 50, seed=11).value() == serial
    assert run(algo, 50, seed=11, executor="threads").value() == serial
    assert run(algo, 50, seed=11, share=True).value() == serial


def test_arrays_that_anybody_changes_later_disturb_nobody() -> None:
    class Keeper:
        @flk.collab
        def keep(self, w: Any) -> Any:
            self.w = w
            w["a"] += 1
            return w

        @flk.collab
        def change(self) -> None:
            self.w["a"] += 100

        @flk.collab
        def show(self) -> Any:
            return self.w["a"].tolist()

    def algo() -> Any:
        sent = {"a": np.zeros(2)}
        got = flk.clients.keep(sent)
        sent["a"] += 7
        flk.clients.change()
        return sent["a"].tolist(), [g["a"].tolist() for g in got], list(flk.clients.show())

    for options in ({}, {"strict": True}, {"executor": "threads"}):
        environment = SimEnv(2, **options)  # type: ignore[arg-type]
        done = flk.Recipe("alias", Algorithm(algo), Keeper, trackers=[]).execute(environment)
        environment.stop()
        assert done.value() == ([7.0, 7.0], [[1.0, 1.0]] * 2, [[101.0, 101.0]] * 2)


def test_sharing_passes_the_very_objects() -> None:
    def algo() -> Any:
        sent = ["sent"]
        return flk.clients[0].keep(sent) is sent

    assert run(algo, share=True).value() is True
    assert run(algo).value() is False


def test_strict_refuses_what_cannot_travel() -> None:
    done = run(lambda: flk.clients[0].keep(lambda: 1), strict=True)
    assert done.status == "failed"
    assert "function" in str(done.error)


def test_two_thousand_sites_work_with_either_executor() -> None:
    def algo() -> Any:
        w = np.zeros(10, np.float32)
        return flk.clients.train(w).reduce("mean").tobytes(), len(flk.clients.add_async(1))

    serial = run(algo, 2000).value()
    assert serial == run(algo, 2000, executor="threads").value()
    assert serial[1] == 2000


def test_a_refused_contribution_is_told_to_observers_and_named_in_the_report(tmp_path):
    class Site:
        @flk.collab
        def train(self, weights):
            return weights + (np.nan if flk.site == "site-2" else 1.0)

    class Server:
        @flk.algo
        def both_ways(self):
            weights = np.zeros(3)
            flk.clients(blocking=False).train(weights).reduce("mean")
            return list(flk.clients.train(weights).reduce("mean"))

    recipe = flk.Recipe("refusals", Server, Site, trackers=["jsonl"])
    run = recipe.execute(flk.env.sim(3, folder=tmp_path))
    assert run.value() == [1.0, 1.0, 1.0]
    told = json.loads((tmp_path / "run.json").read_text())
    assert "site-2" in json.dumps(told["failures"])
    assert "NaN or infinite" in (tmp_path / "report.html").read_text()


def test_sites_that_call_one_another_without_end_are_stopped_and_the_run_goes_on():
    class Site:
        @flk.collab
        def fit(self):
            return sum(flk.clients.fit())  # meant: flk.other_clients.evaluate()

        @flk.collab
        def number(self):
            return 1

    class Server:
        @flk.algo
        def slip(self):
            with pytest.raises(QuorumError, match="nest deeper"):
                flk.clients.fit()
            return list(flk.clients.number())

    run = flk.Recipe("slip", Server, Site, trackers=[]).execute(flk.env.sim(4))
    assert run.value() == [1, 1, 1, 1]


def test_what_failed_at_sites_is_in_the_run_with_the_place_in_their_code():
    class Site:
        @flk.collab
        def train(self):
            if flk.site == "site-2":
                raise OSError("no disk")
            return 1.0

    class Server:
        @flk.algo
        def mean(self):
            return flk.clients.train().reduce("mean")

    run = flk.Recipe("failures", Server, Site, trackers=[]).execute(flk.env.sim(3))
    assert run.value() == 1.0
    assert [(error.site, error.kind) for error in run.failures] == [("site-2", "OSError")]
    assert "test_faults.py" in run.failures[0].remote_traceback
