"""Telling events to listeners who may do anything, and asking steps of them."""

import asyncio
import threading
from importlib import import_module
from types import SimpleNamespace

import pytest
from flk import hooks
from flk.errors import (
    PluginConflict,
    PluginContractError,
    PluginError,
    PluginIncompatible,
    PluginLoadError,
    RunRefused,
)
from flk.registry import Bus
from flk.testing.observer import a_run, story
from flk.testing.world import SimWorld
from flk.world import RealWorld

SOON = 10.0
"""Deadline of what must happen."""

EVENTS = list(dict.fromkeys(hook for hook, _ in story("completed")))
HOOK = "flk_on_round_committed"


@pytest.fixture
def world():
    world = RealWorld()
    yield world
    world.close()


@pytest.fixture
def reports():
    return []


@pytest.fixture
def bus(world, reports):
    bus = Bus(world, reports.append)
    yield bus
    bus.close(SOON)


@pytest.fixture
def hasty(world, reports):
    """A bus of little patience, for listeners that hang."""
    bus = Bus(world, reports.append, patience=0.05)
    yield bus
    bus.close(0.5)


@pytest.fixture
def stuck():
    """A function that never returns until the test has ended."""
    end = threading.Event()
    yield lambda: end.wait(60)
    end.set()


def listener(**methods):
    """An object whose methods are marked, by hook name."""
    return type("Listener", (), {name: hooks.impl(method) for name, method in methods.items()})()


def tell(bus, number=0):
    bus.notify(HOOK, run=a_run(), number=number)


def keep(numbers):
    return listener(**{HOOK: lambda self, number: numbers.append(number)})


def raising(error):
    def method(self):
        raise error

    return method


# events -------------------------------------------------------------------------------------------


def test_every_specified_event_is_told_with_its_arguments(bus):
    told = []
    methods = {}
    for hook in EVENTS:
        topic = next(
            module
            for module in map(import_module, (f"flk.hooks.{topic}" for topic in hooks.TOPICS))
            if hasattr(module, hook)
        )
        names = list(getattr(topic, hook).__annotations__)
        names.remove("return")
        scope = {"told": told}
        exec(f"def {hook}(self, {', '.join(names)}): told.append('{hook}')", scope)
        methods[hook] = scope[hook]
    bus.register(listener(**methods), "all")
    for hook, kwargs in story("completed"):
        bus.notify(hook, **kwargs)
    assert bus.flush(SOON)
    assert told == [hook for hook, _ in story("completed")]
    assert bus.failures == []


def test_events_reach_a_listener_in_order_and_off_the_callers_thread(bus):
    heard, threads = [], set()

    def method(self, number):
        heard.append(number)
        threads.add(threading.get_ident())

    bus.register(listener(**{HOOK: method}), "a")
    for number in range(100):
        tell(bus, number)
    assert bus.flush(SOON)
    assert heard == list(range(100))
    assert threading.get_ident() not in threads


def test_a_listener_takes_the_arguments_it_names(bus):
    heard = []
    bus.register(listener(flk_on_run_finished=lambda self, status: heard.append(status)), "a")
    run = a_run()
    bus.notify("flk_on_run_finished", run=run, status="failed", error="x", seconds=1.0)
    bus.flush(SOON)
    assert heard == ["failed"]


def test_the_bus_knows_who_listens(bus):
    bus.register(keep([]), "a")
    assert bus.listens(HOOK)
    assert not bus.listens("flk_on_metrics")
    assert not bus.listens("flk_admit_run")


def test_an_event_that_does_not_exist_is_an_error_of_the_caller(bus):
    with pytest.raises(KeyError):
        bus.notify("flk_on_nothing")


@pytest.mark.parametrize("hook", EVENTS)
@pytest.mark.parametrize(
    "error",
    [ValueError("no"), BaseException("no"), SystemExit(1), StopIteration(), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_whoever_raises_is_reported_by_name_and_the_others_hear(bus, reports, hook, error):
    heard = []
    bus.register(listener(**{hook: raising(error)}), "bad")
    bus.register(listener(**{hook: lambda self: heard.append(1)}), "good")
    bus.notify(hook, **dict(story("completed"))[hook])
    assert bus.flush(SOON)
    assert heard == [1]
    (failure,) = reports
    assert (failure.plugin, failure.hook, failure.error) == ("bad", hook, error)
    assert not failure.dropped


@pytest.mark.parametrize("hook", EVENTS)
def test_whoever_hangs_is_dropped_and_the_others_hear(hasty, reports, stuck, hook):
    heard = []
    hasty.register(listener(**{hook: lambda self: stuck()}), "bad")
    hasty.register(listener(**{hook: lambda self: heard.append(1)}), "good")
    kwargs = dict(story("completed"))[hook]
    hasty.notify(hook, **kwargs)
    assert hasty.flush(SOON)
    hasty.notify(hook, **kwargs)
    assert hasty.flush(SOON)
    assert heard == [1, 1] + [1] * (hook == "flk_on_plugin_dropped")
    (failure,) = reports
    assert (failure.plugin, failure.hook, failure.dropped) == ("bad", hook, True)


@pytest.mark.parametrize("hook", EVENTS)
def test_whoever_returns_something_is_reported_once_and_goes_on(bus, reports, hook):
    heard = []

    def method(self):
        heard.append(1)
        return 7

    bus.register(listener(**{hook: method}), "chatty")
    for _ in range(5):
        bus.notify(hook, **dict(story("completed"))[hook])
    assert bus.flush(SOON)
    assert len(heard) == 5
    (failure,) = reports
    assert (failure.plugin, failure.hook, failure.dropped) == ("chatty", hook, False)
    assert "int" in failure.reason


def test_a_slow_listener_delays_nobody(bus, stuck):
    heard = []
    bus.register(listener(**{HOOK: lambda self: stuck()}), "slow")
    bus.register(keep(heard), "quick")
    for number in range(10):
        tell(bus, number)
    quick = bus._listeners["quick"].courier
    assert quick.flush(SOON)
    assert heard == list(range(10))
    assert not bus.close(0.05)


def test_three_failures_drop_a_listener_and_the_others_are_told(bus, reports):
    heard, told = [], []
    bus.register(listener(**{HOOK: raising(ValueError("x"))}), "bad")
    bus.register(
        listener(
            **{HOOK: lambda self, number: heard.append(number)},
            flk_on_plugin_dropped=lambda self, plugin, hook, reason: told.append((plugin, hook)),
        ),
        "good",
    )
    for number in range(5):
        tell(bus, number)
    assert bus.flush(SOON)
    assert bus.flush(SOON)
    assert heard == list(range(5))
    assert told == [("bad", HOOK)]
    assert [failure.dropped for failure in reports] == [False, False, True]


def test_an_error_that_cannot_be_printed_is_contained(bus, reports):
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError

    bus.register(listener(**{HOOK: raising(Nasty())}), "bad")
    tell(bus)
    assert bus.flush(SOON)
    assert "Nasty" in str(reports[0])


def test_what_a_slow_listener_missed_is_reported_at_the_end(bus, reports, stuck):
    bus.register(listener(**{HOOK: lambda self: stuck()}), "slow")
    tell(bus)
    tell(bus)
    tell(bus)
    assert bus.close(0.05) is False
    assert [failure.plugin for failure in reports] == ["slow"]


def test_nothing_is_told_after_closing(bus):
    heard = []
    bus.register(keep(heard), "a")
    tell(bus, 1)
    assert bus.close(SOON)
    tell(bus, 2)
    assert bus.close(SOON)
    assert heard == [1]


def test_patience_is_counted_in_the_time_of_the_world():
    world = SimWorld(seed=0)
    reports, heard, times = [], [], []

    def main():
        bus = Bus(world, reports.append)
        method = lambda self: world.enter(asyncio.sleep(100))  # noqa: E731
        bus.register(listener(**{HOOK: method}), "slow")
        bus.register(keep(heard), "quick")
        tell(bus)
        bus.flush(50)
        times.append(world.now())
        bus.close(10)

    assert world.thread(main, "main")(200)
    world.close()
    assert (heard, times) == ([0], [5.0])
    assert [(failure.plugin, failure.dropped) for failure in reports] == [("slow", True)]


# registration -------------------------------------------------------------------------------------


def test_a_misspelt_hook_is_an_error_that_names_plugin_and_hook(bus):
    bad = listener(flk_on_round_comitted=lambda self: None)
    with pytest.raises(PluginContractError, match=r"'acme'.*comitted; did you mean flk_on_round_"):
        bus.register(bad, "acme")


def test_an_argument_that_the_hook_has_not_is_an_error(bus):
    with pytest.raises(PluginContractError, match=r"'acme'.*nonsense"):
        bus.register(listener(**{HOOK: lambda self, nonsense: None}), "acme")


def test_a_hook_without_its_mark_is_an_error(bus):
    class Forgetful:
        def flk_on_round_committed(self, number): ...

    with pytest.raises(PluginContractError, match=r"lacks the decorator flk\.hooks\.impl"):
        bus.register(Forgetful(), "acme")


def test_coroutines_and_generators_are_no_hooks(bus):
    async def coroutine(self): ...

    def generator(self):
        yield

    for method in (coroutine, generator):
        with pytest.raises(PluginContractError, match="plain function"):
            bus.register(listener(**{HOOK: method}), "acme")


def test_properties_of_a_listener_are_not_run(bus):
    class Lazy:
        @property
        def dangerous(self):
            raise SystemExit

    bus.register(Lazy(), "lazy")


def test_a_refused_listener_hears_nothing(bus):
    heard = []
    mixed = listener(
        **{HOOK: lambda self, number: heard.append(number)}, flk_on_nothing=lambda self: None
    )
    with pytest.raises(PluginContractError):
        bus.register(mixed, "mixed")
    assert not bus.listens(HOOK)


def test_a_name_is_registered_once(bus):
    bus.register(keep([]), "a")
    with pytest.raises(PluginConflict):
        bus.register(keep([]), "a")


def test_two_buses_share_nothing(bus, world):
    bus.register(keep([]), "a")
    assert not Bus(world).listens(HOOK)


# installed observers ------------------------------------------------------------------------------

OBSERVER = """
    from flk import hooks

    heard = []

    class Mine:
        @hooks.impl
        def flk_on_round_committed(self, number):
            heard.append(number)
"""


def test_installed_observers_hear_without_being_asked_for(bus, shelf):
    shelf.add("p", "flk.observers.v1", "a = mod_obs_a:Mine", source=OBSERVER)
    bus.load_observers()
    bus.load_observers()
    tell(bus, 3)
    assert bus.flush(SOON)
    assert import_module("mod_obs_a").heard == [3]


def test_an_object_is_an_observer_as_well(bus, shelf):
    source = OBSERVER + "\n    mine = Mine()\n"
    shelf.add("p", "flk.observers.v1", "a = mod_obs_a:mine", source=source)
    bus.load_observers()
    assert bus.listens(HOOK)


def test_an_observer_that_is_turned_off_is_not_even_imported(bus, shelf, monkeypatch, reports):
    shelf.add("p", "flk.observers.v1", "a = mod_obs_a:Mine", source="1 / 0")
    monkeypatch.setenv("FLK_PLUGINS_DISABLE", "a")
    bus.load_observers()
    assert reports == []


def test_an_observer_that_is_idle_is_told_nothing(bus, shelf, reports):
    source = OBSERVER + "\n        idle = True\n"
    shelf.add("p", "flk.observers.v1", "a = mod_obs_a:Mine", source=source)
    bus.load_observers()
    assert not bus.listens(HOOK)
    assert reports == []


BROKEN = {
    "cannot be imported": "1 / 0",
    "exits": "raise SystemExit",
    "cannot be created": "class Mine:\n    def __init__(self, needed): ...",
    "raises anything": "class Odd(BaseException): ...\nraise Odd",
    "raises anything when created": "class Mine:\n    def __init__(self): raise GeneratorExit",
    "cannot say whether it is idle": OBSERVER + "\n        idle = property(lambda self: 1 / 0)\n",
    "misspelt": OBSERVER.replace("committed", "comitted"),
}


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_a_broken_observer_is_reported_once_and_the_others_hear(bus, shelf, reports, source):
    shelf.add("p", "flk.observers.v1", "bad = mod_obs_bad:Mine", source=source)
    shelf.add("q", "flk.observers.v1", "good = mod_obs_good:Mine", source=OBSERVER)
    bus.load_observers()
    assert [failure.plugin for failure in reports] == ["bad"]
    assert bus.listens(HOOK)


def test_two_distributions_with_one_observer_are_reported(bus, shelf, reports):
    shelf.add("p", "flk.observers.v1", "a = mod_obs_a:Mine", source=OBSERVER)
    shelf.add("q", "flk.observers.v1", "a = mod_obs_b:Mine", source=OBSERVER)
    bus.load_observers()
    assert isinstance(reports[0].error, PluginConflict)
    assert not bus.listens(HOOK)


def test_strictness_makes_a_broken_observer_fatal(bus, shelf, monkeypatch):
    shelf.add("p", "flk.observers.v1", "bad = mod_obs_bad:Mine", source="1 / 0")
    monkeypatch.setenv("FLK_STRICT", "1")
    with pytest.raises(PluginLoadError):
        bus.load_observers()


DECIDER = """
    from flk import hooks

    class Mine:
        @hooks.impl
        def flk_admit_run(self, run):
            return "not today"
"""


def test_a_decider_is_asked(bus, shelf):
    shelf.add("p", "flk.deciders.v1", "policy = mod_obs_policy:Mine", source=DECIDER)
    bus.load_observers()
    with pytest.raises(RunRefused, match="not today"):
        admit(bus)


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_a_broken_decider_stops_every_run(bus, shelf, source):
    shelf.add("p", "flk.deciders.v1", "policy = mod_obs_policy:Mine", source=source)
    with pytest.raises(PluginError, match="policy"):
        bus.load_observers()


def test_two_distributions_with_one_decider_stop_every_run(bus, shelf):
    shelf.add("p", "flk.observers.v1", "policy = mod_obs_a:Mine", source=OBSERVER)
    shelf.add("q", "flk.deciders.v1", "policy = mod_obs_b:Mine", source=DECIDER)
    with pytest.raises(PluginConflict):
        bus.load_observers()


def test_a_decider_for_another_kernel_stops_every_run(bus, shelf):
    shelf.add("p", "flk.deciders.v99", "policy = mod_obs_policy:Mine", source=DECIDER)
    with pytest.raises(PluginIncompatible):
        bus.load_observers()


def test_who_decides_without_being_registered_for_it_stops_every_run(bus, shelf):
    shelf.add("p", "flk.observers.v1", "policy = mod_obs_policy:Mine", source=DECIDER)
    with pytest.raises(PluginContractError, match=r"flk\.deciders\.v1"):
        bus.load_observers()


def test_a_decider_may_be_turned_off(bus, shelf, monkeypatch):
    shelf.add("p", "flk.deciders.v1", "policy = mod_obs_policy:Mine", source="1 / 0")
    monkeypatch.setenv("FLK_PLUGINS_DISABLE", "policy")
    bus.load_observers()
    admit(bus)


# steps --------------------------------------------------------------------------------------------


def admit(bus):
    bus.decide("flk_admit_run", run=a_run())


def test_a_step_without_listeners_is_open(bus):
    admit(bus)


def test_a_step_that_all_admit_passes(bus):
    asked = []
    for name in "ab":
        method = lambda self, run, name=name: asked.append(name) or True  # noqa: E731
        bus.register(listener(flk_admit_run=method), name)
    admit(bus)
    assert asked == ["a", "b"]


def test_a_sentence_refuses_and_is_told(bus):
    bus.register(listener(flk_admit_run=lambda self: True), "yes")
    bus.register(listener(flk_admit_run=lambda self: "only on Sundays"), "policy")
    with pytest.raises(RunRefused, match="'policy' refuses: only on Sundays") as caught:
        admit(bus)
    assert caught.value.owner == "policy"
    assert bus.failures == []


@pytest.mark.parametrize("answer", [None, False, 1, 0, "", "  ", [], [True], b"yes", object()])
def test_anything_but_true_or_a_sentence_refuses_and_names_the_plugin(bus, reports, answer):
    bus.register(listener(flk_admit_run=lambda self: answer), "odd")
    with pytest.raises(RunRefused, match="'odd' answered"):
        admit(bus)
    assert [failure.plugin for failure in reports] == ["odd"]


@pytest.mark.parametrize(
    "error", [ValueError("x"), BaseException(), SystemExit(0), StopIteration()], ids=repr
)
def test_a_step_that_raises_refuses(bus, error):
    bus.register(listener(flk_admit_run=raising(error)), "bad")
    with pytest.raises(RunRefused, match=f"'bad' raised {type(error).__name__}"):
        admit(bus)


def test_a_step_that_hangs_refuses(hasty, stuck):
    hasty.register(listener(flk_admit_run=lambda self: stuck()), "bad")
    with pytest.raises(RunRefused, match="'bad' did not answer"):
        admit(hasty)


def test_an_observer_dropped_for_its_events_still_decides(bus):
    methods = {HOOK: raising(ValueError()), "flk_admit_run": lambda self: "no"}
    bus.register(listener(**methods), "guard")
    for _ in range(3):
        tell(bus)
    assert bus.flush(SOON)
    assert not bus.listens(HOOK)
    with pytest.raises(RunRefused):
        admit(bus)


def test_an_answer_that_cannot_be_printed_still_refuses(bus):
    class Nasty:
        def __repr__(self):
            raise RuntimeError

    bus.register(listener(flk_admit_run=lambda self: Nasty()), "odd")
    with pytest.raises(RunRefused):
        admit(bus)


def test_an_answer_that_compares_equal_to_everything_is_not_true(bus):
    class Sly:
        def __eq__(self, other):
            return True

        __hash__ = None

    bus.register(listener(flk_admit_run=lambda self: Sly()), "sly")
    with pytest.raises(RunRefused):
        admit(bus)


def test_a_listener_may_be_any_object(bus):
    bus.register(SimpleNamespace(x=1), "namespace")
    bus.register(object(), "object")
