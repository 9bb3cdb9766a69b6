"""Loading the one plugin that was named."""

import pytest
from flk.errors import PluginContractError, PluginLoadError, PluginNotFound
from flk.registry import load, load_many

TRACKER = """
    from flk.spi.tracker import Tracker

    class Mine(Tracker):
        def start(self, run): ...
        def log(self, records): ...
        def finish(self, status, summary): ...
"""


def test_a_named_plugin_is_imported_and_no_other(shelf):
    shelf.add("p", "flk.trackers.v1", "a = mod_a:Mine", source=TRACKER)
    shelf.add("q", "flk.trackers.v1", "b = mod_b:Mine", source="raise SystemExit('imported')")
    assert load("tracker", "a").__name__ == "Mine"


def test_loading_again_gives_the_same_class(shelf):
    shelf.add("p", "flk.trackers.v1", "a = mod_a:Mine", source=TRACKER)
    assert load("tracker", "a") is load("tracker", "a")


def test_several_are_loaded_in_the_order_given(shelf):
    shelf.add("p", "flk.trackers.v1", "a = mod_a:Mine", source=TRACKER)
    shelf.add("q", "flk.trackers.v1", "b = mod_b:Mine", source=TRACKER)
    assert [cls.__module__ for cls in load_many("tracker", ["b", "a"])] == ["mod_b", "mod_a"]


def test_one_that_is_not_there_is_not_found(shelf):
    with pytest.raises(PluginNotFound):
        load("tracker", "a")


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_module_at_all",
        "1 / 0",
        "raise SystemExit(3)",
        "assert False",
        "def broken(:",
        "class Other: ...",
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
    ],
)
def test_one_that_cannot_be_imported_names_its_distribution_and_keeps_the_cause(shelf, source):
    shelf.add("p", "flk.trackers.v1", "a = mod_a:Mine", source=source, version="0.9")
    with pytest.raises(PluginLoadError, match=r"tracker 'a' of p 0\.9 failed to import") as caught:
        load("tracker", "a")
    assert caught.value.__cause__ is not None
    assert caught.value.owner == "p"
    assert caught.value.exit_code == 2


def test_ctrl_c_while_importing_is_not_the_plugins_fault(shelf):
    shelf.add("p", "flk.trackers.v1", "a = mod_a:Mine", source="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load("tracker", "a")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("class Mine: ...", "does not subclass flk.spi.tracker.Tracker"),
        ("Mine = 7", "is not a class but a int"),
        ("def Mine(): ...", "is not a class but a function"),
        ("from flk.spi.store import Store as Mine", "does not subclass"),
        (
            "from flk.spi.tracker import Tracker\nclass Mine(Tracker):\n def log(self, r): ...",
            "lacks methods of flk.spi.tracker.Tracker: finish, start",
        ),
    ],
)
def test_one_that_does_not_keep_its_contract_says_how(shelf, source, fault):
    shelf.add("p", "flk.trackers.v1", "a = mod_a:Mine", source=source)
    with pytest.raises(PluginContractError, match=fault):
        load("tracker", "a")


def test_a_command_must_be_a_command(shelf):
    shelf.add("p", "flk.commands.v1", "a = mod_a:f", source="def f(): ...")
    with pytest.raises(PluginContractError, match=r"is no flk\.spi\.command\.Command"):
        load("command", "a")


def test_an_installation_is_seen_at_once(shelf):
    shelf.add("p", "flk.trackers.v1", "a = mod_a:Mine", source=TRACKER)
    load("tracker", "a")
    shelf.add("q", "flk.trackers.v1", "b = mod_b:Mine", source=TRACKER)
    assert load("tracker", "b").__module__ == "mod_b"
