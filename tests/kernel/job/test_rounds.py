"""Rounds that survive: what is committed when, and what a restart finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flk
import pytest
from flk.errors import NotInRun, StorageError, UsageError
from flk.job import Run
from flk.testing.collab import Algorithm, Site
from flk.testing.local import LocalEnv, Memory


def run(algo: Callable[[], Any], disk: Memory | None = None) -> Run:
    environment = LocalEnv(2, checkpoints=disk)
    try:
        return flk.Recipe("rounds", Algorithm(algo), Site, trackers=[]).execute(environment)
    finally:
        environment.stop()


def loops(disk: Memory) -> dict[str, list[Any]]:
    assert disk.newest is not None
    found: dict[str, list[Any]] = disk.newest[1]["loops"]
    return found


def test_a_round_is_committed_when_the_loop_asks_for_the_next() -> None:
    disk, seen = Memory(), []

    def algo() -> None:
        for r in flk.rounds(3, state={"n": 0}):
            seen.append((r.number, disk.saved))
            r.state["n"] += 1

    assert run(algo, disk).rounds == 3
    assert seen == [(0, 0), (1, 1), (2, 2)]
    assert loops(disk) == {"loop-1": [2, {"n": 3}, False]}


def test_a_break_discards_the_round() -> None:
    def algo() -> Any:
        rounds = flk.rounds(3, state={"n": 0})
        for r in rounds:
            r.state["n"] += 1
            if r.number == 1:
                break
        return rounds.state

    done = run(algo)
    assert (done.result, done.rounds) == ({"n": 1}, 1)


def test_an_exception_discards_the_round() -> None:
    disk = Memory()

    def algo() -> Any:
        for r in flk.rounds(3, state={"n": 0}):
            r.state["n"] += 1
            if r.number == 1:
                raise LookupError("mine")

    assert run(algo, disk).status == "failed"
    assert loops(disk) == {"loop-1": [0, {"n": 1}, False]}


def test_commit_keeps_the_round_and_nothing_that_is_changed_after_it() -> None:
    disk = Memory()

    def algo() -> Any:
        rounds = flk.rounds(3, state={"list": []})
        for r in rounds:
            r.state["list"].append("kept")
            r.commit()
            r.commit()
            r.state["list"].append("late")
            break
        return rounds.state

    done = run(algo, disk)
    assert (done.result, done.rounds, disk.saved) == ({"list": ["kept"]}, 1, 1)


def test_stop_ends_the_loop_after_the_round_and_commits_it() -> None:
    def algo() -> Any:
        rounds = flk.rounds(9, state={"n": 0})
        for r in rounds:
            r.state["n"] += 1
            if r.number == 2:
                r.stop()
        return rounds.state

    done = run(algo)
    assert (done.result, done.rounds) == ({"n": 3}, 3)


@pytest.mark.parametrize("commit_first", [True, False])
def test_a_loop_that_was_stopped_stays_so_after_a_restart(commit_first: bool) -> None:
    disk, numbers = Memory(), []

    def algo(die: bool = True) -> None:
        for r in flk.rounds(9):
            numbers.append(r.number)
            if r.number == 1:
                if commit_first:
                    r.commit()
                r.stop()
        for r in flk.rounds(2):
            numbers.append(10 + r.number)
            if die and r.number == 1:
                raise ConnectionError("the process died here")

    run(algo, disk)
    run(lambda: algo(die=False), disk)
    assert numbers == [0, 1, 10, 11, 11]


def test_what_the_algorithm_keeps_and_changes_does_not_change_what_is_committed() -> None:
    disk = Memory()
    mine: list[Any] = []

    def algo() -> Any:
        rounds = flk.rounds(3, state={"list": mine})
        for r in rounds:
            r.state["list"] = mine
            mine.append(r.number)
            if r.number == 1:
                break
        return rounds.state

    assert run(algo, disk).result == {"list": [0]}
    assert loops(disk)["loop-1"][1] == {"list": [0]}


def test_the_initial_state_is_not_changed_and_ignored_after_a_restart() -> None:
    disk, initial = Memory(), {"n": [0]}

    def algo(rounds: int, initial: Any) -> Any:
        loop = flk.rounds(rounds, state=initial)
        for r in loop:
            r.state["n"].append(r.number)
        return loop.state

    assert run(lambda: algo(2, initial), disk).result == {"n": [0, 0, 1]}
    assert initial == {"n": [0]}
    assert run(lambda: algo(3, {"n": ["other"]}), disk).result == {"n": [0, 0, 1, 2]}


def test_two_loops_are_told_apart() -> None:
    disk, course = Memory(), []

    def algo(die: int) -> Any:
        first = flk.rounds(2, state={"a": 0})
        for r in first:
            course.append(("first", r.number))
            r.state["a"] += 1
        second = flk.rounds(2, state={"b": first.state["a"]})
        for r in second:
            course.append(("second", r.number))
            if r.number == die:
                raise ConnectionError("the process died here")
            r.state["b"] += 10
        return second.state

    run(lambda: algo(die=1), disk)
    done = run(lambda: algo(die=9), disk)
    assert done.result == {"b": 22}
    assert course == [("first", 0), ("first", 1), ("second", 0), ("second", 1), ("second", 1)]
    assert done.rounds == 4


def test_a_commit_that_cannot_be_stored_fails_the_run_and_changes_nothing() -> None:
    disk = Memory()

    def algo() -> Any:
        for r in flk.rounds(3):
            if r.number == 1:
                disk.error = StorageError("the disk is full")

    done = run(algo, disk)
    assert done.status == "failed"
    assert isinstance(done.error, StorageError)
    assert done.rounds == 1
    disk.error = None
    numbers: list[int] = []
    run(lambda: numbers.extend(r.number for r in flk.rounds(3)), disk)
    assert numbers == [1, 2]


def test_no_rounds_are_no_error() -> None:
    assert run(lambda: [list(flk.rounds(0)), flk.rounds(0, state={"n": 1}).state]).result == [
        [],
        {"n": 1},
    ]


@pytest.mark.parametrize("n", [-1, 1.5, "3", True])
def test_rounds_need_a_count(n: Any) -> None:
    assert isinstance(run(lambda: flk.rounds(n)).error, UsageError)


def test_rounds_belong_to_the_server_and_to_a_run() -> None:
    class Wrong:
        @flk.collab
        def loop(self) -> None:
            flk.rounds(3)

    with pytest.raises(NotInRun):
        flk.rounds(3)
    environment = LocalEnv(1)
    done = flk.Recipe(
        "wrong", Algorithm(lambda: flk.clients[0].loop()), Wrong, trackers=[]
    ).execute(environment)
    environment.stop()
    assert "flk.rounds" in str(done.error)


def test_the_round_is_known_inside_the_loop_and_unknown_after_it() -> None:
    def algo() -> Any:
        seen = [flk.context.round]
        for _ in flk.rounds(2):
            seen.append(flk.context.round)
        return [*seen, flk.context.round]

    assert run(algo).result == [None, 0, 1, None]


def test_commit_and_committed_serve_loops_of_ones_own() -> None:
    disk = Memory()

    def algo(upto: int) -> Any:
        state = flk.committed({"n": 0, "draws": []})
        while state["n"] < upto:
            state["n"] += 1
            state["draws"].append(flk.rng().random())
            flk.commit(state)
        return state["draws"], flk.committed()["n"]

    first = run(lambda: algo(2), disk)
    second = run(lambda: algo(4), disk)
    assert first.rounds == 2
    assert second.rounds == 4
    assert second.result == run(lambda: algo(4)).result


def test_what_is_committed_is_a_copy() -> None:
    def algo() -> Any:
        state: dict[str, Any] = {"list": []}
        flk.commit(state)
        state["list"].append(1)
        flk.committed()["list"].append(2)
        return flk.committed()

    assert run(algo).result == {"list": []}


def test_state_of_sites_is_committed_with_the_round() -> None:
    disk = Memory()

    def dies() -> None:
        for r in flk.rounds(5):
            flk.clients.tally()
            if r.number == 2:
                raise ConnectionError("the process died here")

    run(dies, disk)
    assert run(lambda: list(flk.clients.tally()), disk).result == [3, 3]
