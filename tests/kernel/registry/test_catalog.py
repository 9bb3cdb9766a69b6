"""What is installed, told from metadata alone."""

import subprocess
import sys

import pytest
from flk.errors import PluginConflict, PluginIncompatible, PluginNotFound, UsageError
from flk.registry import find, installed


def test_a_plugin_is_listed_with_what_its_distribution_says(shelf):
    shelf.add("flk-store-acme", "flk.stores.v1", "acme = no_such_module:Store", version="2.1")
    (plugin,) = installed()
    assert (plugin.role, plugin.name, plugin.value) == ("store", "acme", "no_such_module:Store")
    assert (plugin.distribution, plugin.version) == ("flk-store-acme", "2.1")
    assert plugin.summary == "What flk-store-acme is for"
    assert plugin.contract == 1


def test_listing_one_role_leaves_out_the_others(shelf):
    shelf.add("p", "flk.stores.v1", "a = m:A")
    shelf.add("q", "flk.trackers.v1", "b = m:B", "c = m:C")
    assert [plugin.name for plugin in installed("tracker")] == ["b", "c"]


def test_reserved_roles_unknown_roles_and_other_versions_are_listed(shelf):
    shelf.add("p", "flk.drivers.v1", "tcp = m:A")
    shelf.add("q", "flk.stores.v7", "a = m:A")
    shelf.add("r", "flk.widgets.v1", "w = m:A")
    assert [(x.role, x.contract) for x in installed()] == [
        ("driver", 1),
        ("store", 7),
        ("widgets", 1),
    ]


def test_a_decider_is_an_observer_that_says_so(shelf):
    shelf.add("p", "flk.observers.v1", "bar = m:A")
    shelf.add("q", "flk.deciders.v1", "policy = m:A")
    assert [(x.name, x.decides) for x in installed("observer")] == [
        ("bar", False),
        ("policy", True),
    ]


def test_entry_points_of_others_are_not_ours(shelf):
    shelf.add("p", "pytest11", "a = m:A")
    shelf.add("q", "flk.stores", "a = m:A")
    assert installed() == []


def test_the_first_of_two_copies_on_the_path_counts(shelf, tmp_path, monkeypatch):
    shelf.add("flk-store-acme", "flk.stores.v1", "acme = m:A", version="1.0")
    second = type(shelf)(tmp_path)
    second.add("Flk_Store.acme", "flk.stores.v1", "acme = m:A", version="2.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert [plugin.version for plugin in installed()] == ["1.0"]


def test_a_plugin_that_is_installed_later_is_seen(shelf):
    assert installed() == []
    shelf.add("p", "flk.stores.v1", "a = m:A")
    assert [plugin.name for plugin in installed()] == ["a"]


def test_broken_metadata_hides_nobody(shelf):
    shelf.add("p", "flk.stores.v1", "a = m:A")
    broken = shelf.folder / "broken-1.dist-info"
    broken.mkdir()
    (broken / "entry_points.txt").write_bytes(b"\xff\xfe[flk.stores.v1\n===\n[flk.stores.v1]\nb=\n")
    shelf.add("q", "flk.stores.v1", "c = m:C")
    assert {"a", "c"} <= {plugin.name for plugin in installed("store")}


def test_folders_that_are_not_there_are_passed_over(shelf, monkeypatch):
    monkeypatch.setattr(sys, "path", ["/no/such/folder", __file__, *sys.path])
    assert installed() == []


@pytest.mark.parametrize(
    ("variable", "value", "left"),
    [
        ("FLK_PLUGINS", "a", ["a"]),
        ("FLK_PLUGINS", "a, dist-b", ["a", "b"]),
        ("FLK_PLUGINS", "", []),
        ("FLK_PLUGINS_DISABLE", "a", ["b"]),
        ("FLK_PLUGINS_DISABLE", "dist-b", ["a"]),
        ("FLK_PLUGINS_DISABLE", "", ["a", "b"]),
    ],
)
def test_the_environment_leaves_plugins_out(shelf, monkeypatch, variable, value, left):
    shelf.add("dist-a", "flk.stores.v1", "a = m:A")
    shelf.add("dist-b", "flk.stores.v1", "b = m:B")
    monkeypatch.setenv(variable, value)
    assert [plugin.name for plugin in installed()] == left


def test_a_plugin_that_was_turned_off_is_not_found_and_says_by_what(shelf, monkeypatch):
    shelf.add("p", "flk.stores.v1", "a = m:A")
    monkeypatch.setenv("FLK_PLUGINS_DISABLE", "a")
    with pytest.raises(PluginNotFound, match="FLK_PLUGINS_DISABLE"):
        find("store", "a")


def test_a_missing_plugin_names_those_installed_and_what_to_install(shelf):
    shelf.add("p", "flk.stores.v1", "file = m:A", "s3 = m:B")
    with pytest.raises(PluginNotFound) as caught:
        find("store", "zarr")
    assert str(caught.value) == (
        "no store 'zarr'; installed: file, s3. Try: pip install flk-store-zarr"
    )


def test_a_typing_error_is_answered_with_the_nearest_name(shelf):
    shelf.add("p", "flk.stores.v1", "folder = m:A")
    with pytest.raises(PluginNotFound, match="Did you mean 'folder'"):
        find("store", "foldr")


@pytest.mark.parametrize(
    ("role", "name", "distribution"),
    [
        ("environment", "slurm", "flk-env-slurm"),
        ("arrays", "jax", "flk-serializer-jax"),
        ("aggregator", "mean", "flk-workflow-fedavg"),
        ("executor", "serial", "flk-env-sim"),
    ],
)
def test_the_cure_names_the_distribution_that_has_it(shelf, role, name, distribution):
    with pytest.raises(PluginNotFound, match=f"pip install {distribution}$"):
        find(role, name)


@pytest.mark.parametrize("name", ["", "a b", "; rm -rf", "../x", "é"])
def test_what_cannot_be_a_name_is_not_put_into_a_command(shelf, name):
    with pytest.raises(PluginNotFound) as caught:
        find("store", name)
    assert "pip" not in caught.value.cure


def test_a_name_of_two_distributions_is_a_conflict_that_names_both(shelf):
    shelf.add("p", "flk.stores.v1", "a = m:A")
    shelf.add("q", "flk.stores.v1", "a = m:A", version="3")
    with pytest.raises(PluginConflict, match=r"p 1.0 and q 3"):
        find("store", "a")


def test_a_plugin_for_another_contract_version_is_incompatible(shelf):
    shelf.add("p", "flk.stores.v2", "a = m:A")
    with pytest.raises(PluginIncompatible, match="needs contract version 2"):
        find("store", "a")


def test_a_plugin_that_also_speaks_a_newer_contract_is_found_by_the_one_we_speak(shelf):
    shelf.add("p", "flk.stores.v1", "a = m:A")
    shelf.add("p", "flk.stores.v2", "a = m:B")
    assert find("store", "a").contract == 1


def test_a_plugin_of_a_reserved_role_cannot_be_used_yet(shelf):
    shelf.add("p", "flk.drivers.v1", "tcp = m:A")
    with pytest.raises(PluginIncompatible, match="no contract for the role yet"):
        find("driver", "tcp")


def test_an_unknown_role_is_wrong_use(shelf):
    with pytest.raises(UsageError, match="no role 'stores'"):
        find("stores", "a")


def test_listing_loads_neither_stevedore_nor_pluggy_nor_importlib_metadata():
    code = (
        "import sys; from flk.registry import installed; installed();"
        "print(sorted({'stevedore', 'pluggy', 'importlib.metadata', 'asyncio'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"
