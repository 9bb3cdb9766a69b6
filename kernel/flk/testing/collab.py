"""The collaborative API as tests: what federated code may count on in every environment.

The algorithms are functions of the suite and run in the process of the test; the sites' code is
`Site` and lies in this module, so that an environment can bring it to other processes by its name.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import flk
from flk.calls.trees import flatten, unflatten
from flk.errors import (
    CallError,
    CallTimeout,
    Cancelled,
    NotExported,
    NotInRun,
    QuorumError,
    RunAborted,
    UsageError,
)
from flk.job import Run
from flk.spi.aggregator import Aggregator
from flk.spi.environment import Environment

__all__ = ["Algorithm", "CollabSuite", "Helper", "Mean", "Site"]

DEADLINE = 30.0
"""Seconds until a run counts as hanging."""


class Algorithm:
    """A server around one function or coroutine function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.heard: list[Any] = []
        self.ended = 0

    def __deepcopy__(self, memo: Any) -> Algorithm:
        return self

    @flk.algo
    def main(self) -> Any:
        return self.function()

    @flk.collab
    def report(self, value: Any) -> list[Any]:
        self.heard.append(value)
        return [flk.caller, flk.site, value]

    @flk.collab
    async def report_async(self, value: Any) -> list[Any]:
        return self.report(value)

    @flk.final
    def end(self) -> None:
        self.ended += 1


class Site:
    """The code of a site: small functions, each of which shows one thing."""

    def __init__(self) -> None:
        self.kept: Any = None
        self.count = 0
        self.gate = threading.Event()

    @flk.init
    def begin(self) -> None:
        self.begun = flk.site
        if flk.props.get("broken"):
            raise OSError("no data here")

    @flk.collab
    def add(self, x: Any, more: int = 1) -> Any:
        return x + more

    @flk.collab
    async def add_async(self, x: Any) -> Any:
        await asyncio.sleep(0)
        return x + 1

    @flk.collab
    def number(self) -> float:
        return float(flk.site.rpartition("-")[2])

    @flk.collab
    async def number_async(self) -> float:
        return self.number()

    @flk.collab
    def weighted(self, x: Any) -> Any:
        number = self.number()
        return {"x": x["x"] + number}, number

    @flk.collab
    def stream(self, n: int) -> Any:
        for i in range(n):
            yield [flk.site, i]

    @flk.collab
    async def stream_async(self, n: int) -> Any:
        for i in range(n):
            await asyncio.sleep(0)
            yield [flk.site, i]

    @flk.collab
    def broken_stream(self) -> Any:
        yield 1
        raise ValueError("no more")

    @flk.collab
    def boom(self, kind: str = "value", only: str = "") -> str:
        if only in ("", flk.site):
            raise {"value": ValueError, "exit": SystemExit, "ctrl-c": KeyboardInterrupt}[kind](
                "bad data"
            )
        return "well"

    @flk.collab
    async def boom_async(self, kind: str = "value") -> None:
        self.boom(kind)

    @flk.collab
    def hang(self, only: str = "", seconds: float = 20.0) -> str:
        if only in ("", flk.site):
            self.gate.wait(seconds)
        return flk.site

    @flk.collab
    async def hang_async(self, only: str = "") -> str:
        if only in ("", flk.site):
            await asyncio.Event().wait()
        return flk.site

    @flk.collab
    def go_on(self) -> None:
        self.gate.set()

    @flk.collab
    def where(self) -> dict[str, Any]:
        return {"site": flk.site, "caller": flk.caller, "round": flk.context.round}

    @flk.collab
    async def where_async(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        inside = await asyncio.to_thread(self.where)
        return {**self.where(), "thread": inside}

    @flk.collab
    def where_in_thread(self) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def look() -> None:
            found.update(self.where())

        thread = threading.Thread(target=flk.carry(look))
        thread.start()
        thread.join(DEADLINE)
        return found

    @flk.collab
    def where_in_strange_thread(self) -> list[Any]:
        found: list[Any] = []

        def look() -> None:
            found.append(hasattr(flk, "site"))
            try:
                found.append(flk.site)
            except NotInRun as error:
                found.append(type(error).__name__)

        thread = threading.Thread(target=look)
        thread.start()
        thread.join(DEADLINE)
        return found

    @flk.collab
    def prop(self, name: str) -> Any:
        return flk.props.get(name)

    @flk.collab
    def keep(self, value: Any) -> Any:
        self.kept = value
        return value

    @flk.collab
    def change_kept(self) -> None:
        self.kept.append("changed by the site")

    @flk.collab
    def show_kept(self) -> Any:
        return self.kept

    @flk.collab
    def change(self, values: list[Any]) -> list[Any]:
        values.append(flk.site)
        return values

    @flk.collab
    def tick(self) -> int:
        self.count += 1
        return self.count

    @flk.collab
    def tally(self) -> int:
        flk.state["count"] = flk.state.get("count", 0) + 1
        return int(flk.state["count"])

    @flk.collab
    def draw(self) -> list[Any]:
        return [flk.rng().random(), flk.rng().random(), flk.seed(), flk.seed("more")]

    @flk.collab
    def tell(self, value: Any) -> Any:
        return flk.server.report(value)

    @flk.collab
    async def tell_async(self, value: Any) -> Any:
        return await flk.server.report_async(value)

    @flk.collab
    def others(self) -> list[Any]:
        return list(flk.other_clients.where())

    @flk.collab
    def ring(self, hops: int) -> list[str]:
        if hops == 0:
            return [flk.site]
        at = flk.clients.names.index(flk.site)
        onward = flk.clients[(at + 1) % len(flk.clients)]
        return [flk.site, *onward.ring(hops - 1)]

    @flk.collab
    async def ring_async(self, hops: int) -> list[str]:
        if hops == 0:
            return [flk.site]
        at = flk.clients.names.index(flk.site)
        onward = flk.clients[(at + 1) % len(flk.clients)]
        return [flk.site, *(await onward.ring_async(hops - 1))]

    @flk.collab
    def ask_slow_peer(self) -> str:
        try:
            flk.other_clients[0](timeout=0.05).hang()
        except CallTimeout as error:
            return f"gave up {error.site}"
        return "waited"

    def hidden(self) -> None: ...

    @flk.final
    def end(self) -> None:
        flk.server.report("final")


class Helper:
    """A child object."""

    @flk.collab
    def help(self, x: int) -> list[Any]:
        return [flk.site, x * 2]


class Unexportable:
    """A value that shows whether somebody touched it."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError("the argument was touched")


class Mean(Aggregator):
    """A weighted mean of numbers in containers."""

    def init(self, reference: Any, *, max_norm: float) -> None:
        self.total = 0.0
        self.sums: list[float] = []
        self.structure: Any = None

    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        leaves, self.structure = flatten(contribution)
        sums = self.sums or [0.0] * len(leaves)
        self.sums = [s + weight * x for s, x in zip(sums, leaves, strict=True)]
        self.total += weight

    def finish(self) -> Any:
        return unflatten([s / self.total for s in self.sums], self.structure)


class CollabSuite:
    """Subclass and override `environment`. `capabilities` of the environment choose tests:
    `resume` (a `checkpoints` option makes runs resumable), `share` (a `share` option)."""

    capabilities: ClassVar[frozenset[str]] = frozenset()

    def environment(self, num_clients: int, **options: Any) -> Environment:
        """A new environment of sites called `site-1` to `site-N`; `options` may hold `seed`."""
        raise NotImplementedError

    def setup_method(self) -> None:
        self._environments: list[Environment] = []

    def teardown_method(self) -> None:
        for environment in self._environments:
            environment.stop()

    def run(
        self,
        algo: Callable[..., Any] | Algorithm,
        client: Any = Site,
        num_clients: int = 3,
        wait: bool = True,
        options: dict[str, Any] | None = None,
        **recipe: Any,
    ) -> Run:
        environment = self.environment(num_clients, **(options or {}))
        self._environments.append(environment)
        server = algo if isinstance(algo, Algorithm) else Algorithm(algo)
        job = flk.Recipe("suite", server, client, trackers=[], **recipe)
        run = job.execute(environment, wait=False)
        if wait:
            run.wait(DEADLINE)
            assert run.done, "the run hangs"
        return run

    def value(self, algo: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self.run(algo, *args, **kwargs).value()

    # calls and results ----------------------------------------------------------------------------

    def test_a_group_call_returns_the_values_in_site_order(self) -> None:
        def algo() -> Any:
            results = flk.clients.number()
            return list(results), results.by_site, len(results), results["site-2"], results[0]

        values, by_site, count, second, first = self.value(algo)
        assert values == [1.0, 2.0, 3.0]
        assert by_site == {"site-1": 1.0, "site-2": 2.0, "site-3": 3.0}
        assert (count, second, first) == (3, 2.0, 1.0)

    def test_arguments_and_keywords_reach_the_site(self) -> None:
        assert self.value(lambda: list(flk.clients.add(1, more=4))) == [5, 5, 5]

    def test_one_site_returns_its_value_itself(self) -> None:
        def algo() -> Any:
            return flk.clients["site-2"].number(), flk.clients[0].number(), flk.clients[-1].number()

        assert self.value(algo) == (2.0, 1.0, 3.0)

    def test_coroutine_functions_of_sites_are_called_like_others(self) -> None:
        def algo() -> Any:
            return list(flk.clients.add_async(1)), flk.clients[1].number_async()

        assert self.value(algo) == ([2, 2, 2], 2.0)

    def test_in_a_coroutine_calls_are_awaited(self) -> None:
        async def algo() -> Any:
            return (
                list(await flk.clients.add(1)),
                list(await flk.clients.add_async(1)),
                await flk.clients["site-2"].number(),
                await flk.clients["site-3"].number_async(),
            )

        assert self.value(algo) == ([2, 2, 2], [2, 2, 2], 2.0, 3.0)

    def test_in_a_coroutine_results_that_were_not_awaited_say_so(self) -> None:
        async def algo() -> Any:
            results = flk.clients.number()
            try:
                return list(results)
            except UsageError as error:
                await results
                return "await" in str(error)

        assert self.value(algo) is True

    def test_smaller_groups_are_made_by_slices_and_names(self) -> None:
        def algo() -> Any:
            sites = flk.clients
            return (
                list(sites[1:].number()),
                list(sites[["site-3", "site-1"]].number()),
                [proxy.name for proxy in sites],
                len(sites),
                "site-1" in sites,
                "site-9" in sites,
            )

        names = ["site-1", "site-2", "site-3"]
        assert self.value(algo) == ([2.0, 3.0], [3.0, 1.0], names, 3, True, False)

    def test_an_unknown_site_and_a_site_twice_are_refused(self) -> None:
        def algo() -> int:
            refused = 0
            for key in ("site-9", ["site-1", "site-1"], ["site-1", "nobody"]):
                try:
                    flk.clients[key]
                except UsageError:
                    refused += 1
            return refused

        assert self.value(algo) == 3

    def test_an_empty_group_is_no_error(self) -> None:
        def algo() -> Any:
            results = flk.clients[:0].add(1)
            return list(results), results.by_site, results.failures, results.done

        assert self.value(algo) == ([], {}, {}, True)

    def test_generators_are_streams(self) -> None:
        def algo() -> Any:
            streams = flk.clients.stream(2)
            return [list(s) for s in streams], list(flk.clients[1].stream_async(2))

        each, one = self.value(algo)
        assert each == [[[f"site-{n}", 0], [f"site-{n}", 1]] for n in (1, 2, 3)]
        assert one == [["site-2", 0], ["site-2", 1]]

    def test_streams_are_read_in_coroutines_too(self) -> None:
        async def algo() -> Any:
            found = []
            for name in ("stream", "stream_async"):
                stream = await getattr(flk.clients[0], name)(2)
                found.append([item async for item in stream])
            return found

        assert self.value(algo) == [[["site-1", 0], ["site-1", 1]]] * 2

    def test_a_stream_that_breaks_raises_the_error_of_the_site(self) -> None:
        def algo() -> Any:
            stream = flk.clients[0].broken_stream()
            first = next(stream)
            try:
                next(stream)
            except CallError as error:
                return first, error.kind, error.site
            return None

        assert self.value(algo) == (1, "ValueError", "site-1")

    def test_child_objects_of_sites_are_called_by_name(self) -> None:
        def algo() -> Any:
            by_option = list(flk.clients(target="helper").help(2))
            by_child = flk.clients["site-2"].child("helper").help(3)
            try:
                flk.clients[0].child("nobody").help(1)
            except NotExported as error:
                return by_option, by_child, "helper" in str(error)
            return None

        by_option, by_child, named = self.value(algo, client_objects={"helper": Helper})
        assert by_option == [["site-1", 4], ["site-2", 4], ["site-3", 4]]
        assert (by_child, named) == (["site-2", 6], True)

    def test_child_objects_of_the_server_are_called_from_sites(self) -> None:
        def algo() -> Any:
            return list(flk.clients.ask_helper(4))

        value = self.value(algo, AsksHelper, server_objects={"helper": Helper})
        assert value == [["server", 8]] * 3

    # who calls whom -------------------------------------------------------------------------------

    def test_sites_know_where_they_are_and_who_calls(self) -> None:
        found = self.value(lambda: flk.clients.where().by_site)
        for site, where in found.items():
            assert where == {"site": site, "caller": "server", "round": None}

    def test_sites_call_the_server_by_name(self) -> None:
        def algo() -> Any:
            return list(flk.clients.tell(1)), list(flk.clients.tell_async(2))

        first, second = self.value(algo)
        assert first == [[f"site-{n}", "server", 1] for n in (1, 2, 3)]
        assert second == [[f"site-{n}", "server", 2] for n in (1, 2, 3)]

    def test_sites_call_one_another(self) -> None:
        heard = self.value(lambda: flk.clients["site-2"].others())
        assert [h["site"] for h in heard] == ["site-1", "site-3"]
        assert {h["caller"] for h in heard} == {"site-2"}

    def test_calls_nest_through_many_sites(self) -> None:
        def algo() -> Any:
            return flk.clients[0].ring(6), flk.clients[0].ring_async(6)

        ring = ["site-1", "site-2", "site-3", "site-1", "site-2", "site-3", "site-1"]
        assert self.value(algo) == (ring, ring)

    def test_calls_that_nest_without_end_fail_and_the_run_goes_on(self) -> None:
        def algo() -> Any:
            try:
                flk.clients[0].ring(100_000)
            except CallError as error:
                return len(str(error)) < 10_000, flk.clients[0].number()
            return None

        assert self.value(algo) == (True, 1.0)

    def test_a_site_gives_up_a_peer_that_hangs(self) -> None:
        def algo() -> Any:
            return flk.clients["site-2"].ask_slow_peer(), list(flk.clients.number())

        assert self.value(algo) == ("gave up site-1", [1.0, 2.0, 3.0])

    def test_the_round_of_the_caller_is_that_of_the_sites(self) -> None:
        def algo() -> Any:
            found = []
            for r in flk.rounds(2):
                here = flk.context.round
                peer = flk.clients[0].others()[0]["round"]
                found.append((r.number, here, flk.clients[0].where()["round"], peer))
            return [*found, flk.context.round]

        assert self.value(algo) == [(0, 0, 0, 0), (1, 1, 1, 1), None]

    # context --------------------------------------------------------------------------------------

    def test_context_follows_coroutines_and_carried_threads(self) -> None:
        def algo() -> Any:
            return flk.clients[0].where_async(), flk.clients[1].where_in_thread()

        inside, carried = self.value(algo)
        here = {"site": "site-1", "caller": "server", "round": None}
        assert inside == {**here, "thread": here}
        assert carried == {**here, "site": "site-2"}

    def test_a_strange_thread_has_no_context_and_hasattr_says_so(self) -> None:
        assert self.value(lambda: flk.clients[0].where_in_strange_thread()) == [False, "NotInRun"]

    def test_outside_a_run_there_is_no_context(self) -> None:
        assert not hasattr(flk, "clients")
        with pytest.raises(NotInRun):
            flk.rng()

    def test_settings_of_a_site_are_seen_by_no_other(self) -> None:
        found = self.value(
            lambda: (flk.props["a"], list(flk.clients.prop("a")), list(flk.clients.prop("b"))),
            config={"a": 1},
            site_config={"site-2": {"a": 2, "b": [3]}},
        )
        assert found == (1, [1, 2, 1], [None, [3], None])

    def test_each_site_has_an_instance_of_its_own(self) -> None:
        def algo() -> Any:
            flk.clients[0].tick()
            return list(flk.clients.tick())

        assert self.value(algo) == [2, 1, 1]

    def test_a_second_run_sees_nothing_of_the_first(self) -> None:
        for _ in range(2):
            assert self.value(lambda: list(flk.clients.tick())) == [1, 1, 1]

    # values belong to whoever got them ------------------------------------------------------------

    def test_a_site_that_changes_its_argument_disturbs_nobody(self) -> None:
        def algo() -> Any:
            sent: list[Any] = []
            values = list(flk.clients.change(sent))
            return sent, values

        assert self.value(algo) == ([], [["site-1"], ["site-2"], ["site-3"]])

    def test_a_site_that_changes_what_it_returned_disturbs_nobody(self) -> None:
        def algo() -> Any:
            got = flk.clients[0].keep(["sent"])
            flk.clients[0].change_kept()
            return got, flk.clients[0].show_kept()

        assert self.value(algo) == (["sent"], ["sent", "changed by the site"])

    def test_a_caller_that_changes_what_it_sent_disturbs_nobody(self) -> None:
        def algo() -> Any:
            sent = ["sent"]
            flk.clients[0].keep(sent)
            sent.append("changed by the caller")
            return flk.clients[0].show_kept()

        assert self.value(algo) == ["sent"]

    def test_arguments_of_an_open_call_are_frozen_when_it_is_made(self) -> None:
        def algo() -> Any:
            sent = ["sent"]
            results = flk.clients(blocking=False).keep(sent)
            forgotten = flk.clients(expect_result=False).keep(sent)
            sent.append("changed by the caller")
            return list(results), forgotten, flk.clients[0].show_kept()

        assert self.value(algo) == ([["sent"]] * 3, None, ["sent"])

    def test_arguments_of_an_awaited_call_are_frozen_when_it_is_made(self) -> None:
        async def algo() -> Any:
            sent = ["sent"]
            call = flk.clients.keep(sent)
            one = flk.clients[0].add_async(sent_number := 1)
            sent.append("changed by the caller")
            return list(await call), await one, sent_number

        assert self.value(algo) == ([["sent"]] * 3, 2, 1)

    def test_a_callback_may_keep_what_it_is_given(self) -> None:
        def algo() -> Any:
            got: dict[str, Any] = {}
            flk.clients(callback=got.__setitem__).keep(["sent"])
            flk.clients.change_kept()
            return got

        assert self.value(algo) == {f"site-{n}": ["sent"] for n in (1, 2, 3)}

    # failures -------------------------------------------------------------------------------------

    def test_a_failing_site_is_named_and_the_others_count(self) -> None:
        def algo() -> Any:
            results = flk.clients.boom(only="site-2")
            error = results.failures["site-2"]
            facts = (error.site, error.function, error.kind, error.code)
            return list(results), list(results.failures), facts, error.remote_traceback, str(error)

        values, failed, facts, trace, text = self.value(algo)
        assert values == ["well", "well"]
        assert failed == ["site-2"]
        assert facts == ("site-2", "boom", "ValueError", "CALL_FAILED")
        assert "in boom" in trace
        assert "bad data" in text

    def test_a_single_site_raises_its_own_error(self) -> None:
        def algo() -> Any:
            try:
                flk.clients["site-2"].boom()
            except CallError as error:
                return error.site, error.kind, "bad data" in str(error)
            return None

        assert self.value(algo) == ("site-2", "ValueError", True)

    def test_all_sites_failing_is_a_missed_quorum_with_each_error(self) -> None:
        def algo() -> Any:
            try:
                flk.clients.boom()
            except QuorumError as error:
                return list(error.failures), "bad data" in str(error)
            return None

        assert self.value(algo) == (["site-1", "site-2", "site-3"], True)

    def test_an_error_nobody_catches_fails_the_run(self) -> None:
        run = self.run(lambda: flk.clients[0].boom())
        assert run.status == "failed"
        assert isinstance(run.error, CallError)
        assert run.result is None
        with pytest.raises(CallError):
            run.value()

    def test_a_site_that_wants_to_exit_fails_alone(self) -> None:
        def algo() -> Any:
            kinds = []
            for function in ("boom", "boom_async"):
                for kind in ("exit", "ctrl-c"):
                    try:
                        getattr(flk.clients[0], function)(kind)
                    except CallError as error:
                        kinds.append(error.kind)
            return kinds, flk.clients[0].number()

        assert self.value(algo) == (["SystemExit", "KeyboardInterrupt"] * 2, 1.0)

    def test_what_is_not_exported_is_refused_before_arguments_are_touched(self) -> None:
        def algo() -> Any:
            refused = []
            for name in ("nothing", "hidden", "begin", "_hidden"):
                for options in ({}, {"blocking": False}):
                    try:
                        one = flk.clients[0](**options)
                        outcome = getattr(one, name)(Unexportable())
                        refused.append(outcome.result())
                    except (NotExported, AttributeError) as error:
                        refused.append(type(error).__name__)
            try:
                flk.clients.nothing(Unexportable())
            except QuorumError as error:
                kinds = {type(e).__name__ for e in error.failures.values()}
            return refused, kinds

        refused, kinds = self.value(algo)
        assert refused == ["NotExported"] * 6 + ["AttributeError"] * 2
        assert kinds == {"NotExported"}

    def test_what_is_not_exported_names_what_is(self) -> None:
        def algo() -> Any:
            try:
                flk.clients[0].trian()
            except NotExported as error:
                return error.may_have_run, "help" in str(error)
            return None

        assert self.value(algo, Helper) == (False, True)

    # options --------------------------------------------------------------------------------------

    def test_min_results_is_a_count_or_a_share(self) -> None:
        def algo() -> Any:
            outcome: list[Any] = []
            for needed in (2, 0.6, 3, 0.7, 1.0):
                try:
                    outcome.append(len(flk.clients(min_results=needed).boom(only="site-1")))
                except QuorumError as error:
                    outcome.append(list(error.failures))
            return outcome

        assert self.value(algo) == [2, 2, ["site-1"], ["site-1"], ["site-1"]]

    def test_an_optional_call_fails_without_an_error(self) -> None:
        def algo() -> Any:
            results = flk.clients(optional=True).boom()
            return flk.clients[0](optional=True).boom(), list(results), list(results.failures)

        assert self.value(algo) == (None, [], ["site-1", "site-2", "site-3"])

    def test_a_site_that_hangs_is_given_up_and_the_run_goes_on(self) -> None:
        def algo() -> Any:
            results = flk.clients(timeout=0.1).hang("site-2")
            error = results.failures["site-2"]
            flk.clients[1].go_on()
            return list(results), type(error).__name__, flk.clients.number()[1]

        assert self.value(algo) == (["site-1", "site-3"], "CallTimeout", 2.0)

    def test_several_sites_that_hang_are_all_given_up(self) -> None:
        def algo() -> Any:
            try:
                flk.clients(timeout=0.05).hang()
            except QuorumError as error:
                flk.clients.go_on()
                return [type(e).__name__ for e in error.failures.values()]
            return None

        assert self.value(algo) == ["CallTimeout"] * 3

    def test_a_coroutine_that_hangs_is_given_up(self) -> None:
        def algo() -> Any:
            results = flk.clients(timeout=0.1).hang_async("site-2")
            return list(results), type(results.failures["site-2"]).__name__

        assert self.value(algo) == (["site-1", "site-3"], "CallTimeout")

    def test_after_the_quorum_only_the_grace_is_waited(self) -> None:
        def algo() -> Any:
            found = []
            for name in ("hang", "hang_async"):
                call = getattr(flk.clients(min_results=2, grace=0.1), name)
                results = call("site-3")
                found.append((list(results), type(results.failures["site-3"])))
            flk.clients[2].go_on()
            return found

        assert self.value(algo) == [(["site-1", "site-2"], Cancelled)] * 2

    def test_a_forgotten_call_is_done_by_the_end_of_the_run(self) -> None:
        server = Algorithm(
            lambda: (
                flk.clients(expect_result=False).tell("sync"),
                flk.clients(expect_result=False).tell_async("async"),
                flk.clients[0](expect_result=False).boom(),
            )
        )
        assert self.run(server).value() == (None, None, None)
        heard = [value for value in server.heard if value != "final"]
        assert sorted(heard) == ["async"] * 3 + ["sync"] * 3

    def test_a_callback_is_told_each_result_in_site_order(self) -> None:
        def algo() -> Any:
            told: list[Any] = []
            results = flk.clients(callback=lambda *pair: told.append(pair)).number()
            return told, list(results), results.progress.answered

        told, kept, answered = self.value(algo)
        assert told == [("site-1", 1.0), ("site-2", 2.0), ("site-3", 3.0)]
        assert (kept, answered) == ([], 3)

    def test_a_callback_that_raises_raises_at_the_call(self) -> None:
        def algo() -> Any:
            def refuse(site: str, value: Any) -> None:
                raise LookupError(site)

            try:
                flk.clients(callback=refuse).number()
            except LookupError as error:
                return str(error), flk.clients[0].number()
            return None

        assert self.value(algo) == ("site-1", 1.0)

    def test_a_callback_may_call(self) -> None:
        def algo() -> Any:
            told: list[Any] = []
            flk.clients(callback=lambda s, v: told.append(flk.clients[s].add(v))).number()
            return told

        assert self.value(algo) == [2.0, 3.0, 4.0]

    def test_a_key_makes_a_site_answer_the_same_again(self) -> None:
        def algo() -> Any:
            sites = flk.clients(key="step-7")
            return list(sites.tick()), list(sites.tick()), list(flk.clients.tick())

        assert self.value(algo) == ([1, 1, 1], [1, 1, 1], [2, 2, 2])

    def test_at_most_parallel_sites_work_at_once(self) -> None:
        for name in ("peak", "peak_async"):
            gauge = Gauge()

            def algo(name: str = name, gauge: Any = gauge) -> Any:
                return len(getattr(flk.clients(parallel=2), name)())

            run = self.run(algo, lambda gauge=gauge: gauge, num_clients=8)
            assert run.value() == 8
            if gauge.calls:
                assert gauge.highest <= 2

    def test_an_unknown_option_names_the_nearest(self) -> None:
        def algo() -> Any:
            try:
                flk.clients(timout=1)
            except UsageError as error:
                return str(error)
            return ""

        assert "'timeout'" in self.value(algo)

    # open calls -----------------------------------------------------------------------------------

    def test_an_open_call_returns_at_once_and_is_read_later(self) -> None:
        def algo() -> Any:
            results = flk.clients(blocking=False).number()
            one = flk.clients[1](blocking=False).number()
            return list(results), one.result(), results.done, one.done

        assert self.value(algo) == ([1.0, 2.0, 3.0], 2.0, True, True)

    def test_an_open_call_that_missed_its_quorum_says_so_whenever_it_is_read(self) -> None:
        def algo() -> Any:
            results = flk.clients(blocking=False).boom()
            flk.clients.number()
            try:
                return list(results)
            except QuorumError as error:
                return list(error.failures)

        assert self.value(algo) == ["site-1", "site-2", "site-3"]

    def test_as_completed_gives_each_site_once(self) -> None:
        def algo() -> Any:
            open_call = flk.clients(blocking=False).number()
            first = list(open_call.as_completed())
            finished = flk.clients.number()
            again = [list(finished.as_completed()) for _ in range(2)]
            return first, list(open_call), again, list(finished)

        first, left, again, kept = self.value(algo)
        pairs = [("site-1", 1.0), ("site-2", 2.0), ("site-3", 3.0)]
        assert sorted(first) == pairs
        assert left == []
        assert [sorted(pairs_) for pairs_ in again] == [pairs, pairs]
        assert kept == [1.0, 2.0, 3.0]

    def test_as_completed_does_not_wait_for_the_slowest(self) -> None:
        def algo() -> Any:
            found = []
            for name in ("hang", "hang_async"):
                results = getattr(flk.clients(blocking=False, timeout=5), name)("site-3")
                arriving = results.as_completed()
                found.append(sorted(next(arriving)[0] for _ in range(2)))
                results.cancel()
                flk.clients[2].go_on()
            return found

        assert self.value(algo) == [["site-1", "site-2"]] * 2

    def test_as_completed_is_iterated_in_coroutines(self) -> None:
        async def algo() -> Any:
            found = []
            for name in ("number", "number_async"):
                call = getattr(flk.clients, name)()
                found.append(sorted([pair async for pair in call.as_completed()]))
            kept = await flk.clients.number()
            found.append(sorted([pair async for pair in kept.as_completed()]))
            return found

        pairs = [("site-1", 1.0), ("site-2", 2.0), ("site-3", 3.0)]
        assert self.value(algo) == [pairs] * 3

    def test_as_completed_raises_a_missed_quorum_after_the_last(self) -> None:
        def algo() -> Any:
            seen = []
            try:
                for site, _ in (
                    flk.clients(blocking=False, min_results=3).boom(only="site-2").as_completed()
                ):
                    seen.append(site)
            except QuorumError:
                return sorted(seen)
            return None

        assert self.value(algo) == ["site-1", "site-3"]

    def test_several_calls_of_a_coroutine_go_on_side_by_side(self) -> None:
        async def algo() -> Any:
            calls = [_awaited(flk.clients.add(n)) for n in range(4)]
            return [list(r) for r in await asyncio.gather(*calls)]

        assert self.value(algo) == [[n + 1] * 3 for n in range(4)]

    def test_progress_tells_how_far_a_call_is(self) -> None:
        def algo() -> Any:
            results = flk.clients.boom(only="site-1")
            p = results.progress
            return p.total, p.answered, p.failed, p.open

        assert self.value(algo) == (3, 2, 1, 0)

    def test_a_cancelled_call_waits_for_nobody(self) -> None:
        def algo() -> Any:
            results = flk.clients(blocking=False, optional=True).hang_async()
            one = flk.clients[0](blocking=False).hang_async()
            results.cancel()
            one.cancel()
            try:
                one.result()
            except Cancelled as error:
                kinds = {type(e).__name__ for e in results.failures.values()}
                return list(results), kinds, error.site
            return None

        assert self.value(algo) == ([], {"Cancelled"}, "site-1")

    # reduce ---------------------------------------------------------------------------------------

    def test_reduce_gives_one_value_for_kept_and_open_calls(self) -> None:
        def algo() -> Any:
            kept = flk.clients.weighted({"x": 1.0})
            open_call = flk.clients(blocking=False).weighted({"x": 1.0})
            return kept.reduce(Mean), kept.reduce(Mean), open_call.reduce(Mean), len(open_call)

        expected = {"x": 1.0 + (1 + 4 + 9) / 6}
        assert self.value(algo) == (expected, expected, expected, 0)

    def test_reduce_is_awaited_in_a_coroutine(self) -> None:
        async def algo() -> Any:
            kept = await flk.clients.weighted({"x": 1.0})
            return kept.reduce(Mean), await flk.clients.weighted({"x": 1.0}).reduce(Mean)

        expected = {"x": 1.0 + (1 + 4 + 9) / 6}
        assert self.value(algo) == (expected, expected)

    def test_a_refused_contribution_joins_the_failures(self) -> None:
        def algo() -> Any:
            found = []
            for blocking in (True, False):
                results = flk.clients(blocking=blocking).poison("site-2")
                mean = results.reduce(Mean)
                reason = results.failures["site-2"].reason
                found.append((mean, list(results.failures), reason))
            return found

        assert self.value(algo, Poisoner) == [(2.0, ["site-2"], "not_finite")] * 2

    def test_too_many_refusals_miss_the_quorum(self) -> None:
        def algo() -> Any:
            missed = 0
            for blocking in (True, False):
                try:
                    flk.clients(min_results=3, blocking=blocking).poison("site-2").reduce(Mean)
                except QuorumError as error:
                    missed += list(error.failures) == ["site-2"]
            return missed

        assert self.value(algo, Poisoner) == 2

    def test_reduce_adds_in_site_order_whatever_the_order_of_arrival(self) -> None:
        def algo() -> Any:
            added: list[float] = []

            class Order(Mean):
                def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
                    added.append(contribution)
                    super().add(contribution, weight)

            flk.clients(blocking=False).number_async().reduce(Order)
            return added

        assert self.value(algo, num_clients=6) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

    # rounds, random numbers, state ----------------------------------------------------------------

    def test_random_numbers_depend_on_seed_site_and_round_only(self) -> None:
        def algo(noise: int = 0) -> Any:
            drawn = []
            for _ in flk.rounds(2):
                for _ in range(noise):
                    flk.clients.number()
                drawn.append([flk.rng().random(), *flk.clients.draw()])
            return drawn

        once = self.value(algo, options={"seed": 5})
        again = self.value(lambda: algo(noise=2), options={"seed": 5})
        other = self.value(algo, options={"seed": 6})
        assert once == again
        assert once != other
        numbers = [str(draw) for drawn in once for draw in drawn]
        assert len(set(numbers)) == len(numbers)

    def test_the_state_of_a_site_lives_from_call_to_call(self) -> None:
        def algo() -> Any:
            flk.clients[0].tally()
            return list(flk.clients.tally())

        assert self.value(algo) == [2, 1, 1]

    def test_rounds_commit_when_the_loop_goes_on_and_discard_at_a_break(self) -> None:
        def algo() -> Any:
            rounds = flk.rounds(5, state={"n": 0})
            for r in rounds:
                r.state["n"] += int(flk.clients[0].add(0))
                if r.number == 3:
                    break
            return rounds.state

        run = self.run(algo)
        assert run.value() == {"n": 3}
        assert run.rounds == 3

    # life of a run --------------------------------------------------------------------------------

    def test_a_site_whose_init_fails_is_left_out(self) -> None:
        def algo() -> Any:
            results = flk.clients.number()
            return list(results), "no data here" in str(results.failures["site-2"])

        run = self.run(algo, site_config={"site-2": {"broken": True}}, min_clients=2)
        assert run.value() == ([1.0, 3.0], True)

    def test_too_few_sites_that_start_fail_the_run(self) -> None:
        run = self.run(lambda: 1, config={"broken": True})
        assert run.status == "failed"
        assert isinstance(run.error, QuorumError)

    def test_final_runs_after_success_failure_and_abort(self) -> None:
        gate = threading.Event()

        def fail() -> None:
            raise LookupError("my mistake")

        def wait() -> None:
            gate.wait(DEADLINE)
            flk.clients.number()

        for function, status in ((lambda: 1, "completed"), (fail, "failed"), (wait, "aborted")):
            server = Algorithm(function)
            run = self.run(server, wait=False)
            if status == "aborted":
                run.abort("enough")
                gate.set()
            run.wait(DEADLINE)
            assert run.status == status
            assert server.ended == 1
            if status != "aborted":
                assert server.heard == ["final"] * 3

    def test_an_abort_ends_a_call_that_hangs(self) -> None:
        for name in ("hang_async", "hang"):
            waiting = threading.Event()

            def algo(name: str = name, waiting: threading.Event = waiting) -> Any:
                waiting.set()
                return (
                    getattr(flk.clients(timeout=20), name)(seconds=0.5)
                    if name == "hang"
                    else (getattr(flk.clients, name)())
                )

            run = self.run(algo, wait=False)
            assert waiting.wait(DEADLINE)
            run.abort("enough")
            run.abort("twice")
            run.wait(DEADLINE)
            assert run.status == "aborted"
            assert isinstance(run.error, RunAborted)
            assert "enough" in str(run.error)

    def test_an_abort_between_rounds_keeps_what_was_committed(self) -> None:
        reached = threading.Event()
        go_on = threading.Event()

        def algo() -> None:
            for r in flk.rounds(1000):
                if r.number == 2:
                    reached.set()
                    go_on.wait(DEADLINE)

        run = self.run(algo, wait=False)
        assert reached.wait(DEADLINE)
        run.abort("enough")
        go_on.set()
        run.wait(DEADLINE)
        assert (run.status, run.rounds) == ("aborted", 3)

    def test_after_the_end_an_abort_changes_nothing(self) -> None:
        run = self.run(lambda: 7)
        run.abort("too late")
        assert (run.status, run.result, run.error) == ("completed", 7, None)

    def test_whatever_the_algorithm_raises_is_in_the_run(self) -> None:
        for kind in (ValueError, SystemExit, KeyboardInterrupt):

            def algo(kind: Any = kind) -> None:
                raise kind("mine")

            run = self.run(algo)
            assert run.status == "failed"
            assert isinstance(run.error, kind)

    def test_metrics_carry_site_and_round(self) -> None:
        def algo() -> Any:
            for _ in flk.rounds(2):
                flk.log({"loss": 0.5})
                flk.clients.log_metric()

        run = self.run(algo, Logger)
        assert run.series("loss") == [(0, 0.5), (1, 0.5)]
        assert run.series("accuracy", "site-2") == [(0, 2.0), (1, 2.0)]

    def test_many_sites_work(self) -> None:
        before = threading.active_count()

        def algo() -> Any:
            values = list(flk.clients.number())
            return sum(values), threading.active_count() - before

        total, threads = self.value(algo, num_clients=500)
        assert total == 500 * 501 / 2
        assert threads < 100


class AsksHelper:
    @flk.collab
    def ask_helper(self, x: int) -> Any:
        return flk.server(target="helper").help(x)


class Poisoner:
    @flk.collab
    def poison(self, only: str) -> float:
        return float("nan") if flk.site == only else 2.0


class Logger:
    @flk.collab
    def log_metric(self) -> None:
        flk.log({"accuracy": float(flk.site.rpartition("-")[2])})


class Gauge:
    """Counts how many of its calls overlap, where all sites share the one of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.highest = self.calls = 0

    def __deepcopy__(self, memo: Any) -> Gauge:
        return self

    def _more(self, by: int) -> None:
        with self.lock:
            self.now += by
            self.calls += by > 0
            self.highest = max(self.highest, self.now)

    @flk.collab
    def peak(self) -> None:
        self._more(1)
        threading.Event().wait(0.005)
        self._more(-1)

    @flk.collab
    async def peak_async(self) -> None:
        self._more(1)
        await asyncio.sleep(0.005)
        self._more(-1)


async def _awaited(call: Any) -> Any:
    return await call
