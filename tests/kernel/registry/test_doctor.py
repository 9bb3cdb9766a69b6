"""Telling apart what can be wrong with an installed plugin."""

import sys

import pytest
from flk.registry import examine, examine_all, installed

STORE = """
    from flk.spi.store import Store

    class Mine(Store):
        @classmethod
        def open(cls, location, world): ...
        def put(self, key, chunks, *, only_if_absent=False): ...
        def get(self, key, start=0, stop=None): ...
        def size(self, key): ...
        def list(self, prefix=""): ...
        def delete(self, key): ...
"""


@pytest.fixture
def verdict(shelf, monkeypatch):
    """The diagnosis of a store whose module has this source. Children see all of this process's
    path, as the kernel's own dependencies lie there."""
    whole = list(sys.path)

    def diagnose(source, **options):
        shelf.add("p", "flk.stores.v1", "a = mod_doc:Mine", source=source)
        monkeypatch.setattr(sys, "path", [str(shelf.folder), *whole, *SITE])
        (plugin,) = [x for x in installed("store") if x.distribution == "p"]
        return examine(plugin, **options)

    return diagnose


SITE = [path for path in sys.path if "site-packages" in path]


def test_a_right_plugin_is_ok_and_its_import_was_timed(verdict):
    diagnosis = verdict(STORE)
    assert (diagnosis.verdict, diagnosis.detail) == ("ok", "")
    assert diagnosis.seconds is not None
    assert diagnosis.harmless


@pytest.mark.parametrize(
    ("source", "expected", "word"),
    [
        ("import no_such_module", "absent dependency", "no_such_module"),
        ("from mod_doc import nothing", "import error", "nothing"),
        ("1 / 0", "import error", "ZeroDivisionError"),
        ("raise SystemExit(3)", "import error", "SystemExit"),
        ("import os; os._exit(9)", "import error", "ended with 9"),
        ("import os; os.abort()", "import error", "ended with -6"),
        ("class Other: ...", "import error", "Mine"),
        ("class Mine: ...", "contract violation", "does not subclass"),
        ("from flk.spi.store import Store\nclass Mine(Store): ...", "contract violation", "lacks"),
        (STORE + "\n    print('hello')", "output on stdout", "hello"),
        (STORE + "\n    import os; os.write(1, b'raw')", "output on stdout", "raw"),
    ],
)
def test_each_fault_has_a_verdict_of_its_own(verdict, source, expected, word):
    diagnosis = verdict(source)
    assert diagnosis.verdict == expected
    assert word in diagnosis.detail
    assert not diagnosis.harmless


def test_a_slow_import_is_told_with_its_figure_and_harms_nobody(verdict):
    diagnosis = verdict("import threading; threading.Event().wait(2.1)\n" + DEDENTED)
    assert diagnosis.verdict == "slow import"
    assert " 2." in diagnosis.detail
    assert diagnosis.harmless


def test_an_import_that_does_not_end_is_an_import_error(verdict):
    diagnosis = verdict("import threading; threading.Event().wait()", timeout=1.0)
    assert diagnosis.verdict == "import error"
    assert "did not end" in diagnosis.detail


def test_an_observer_with_a_misspelt_hook_violates_the_contract(shelf, monkeypatch):
    source = "from flk.hooks import impl\nclass O:\n    @impl\n    def flk_on_roud(self): ..."
    shelf.add("p", "flk.observers.v1", "o = mod_doc:O", source=source)
    (plugin,) = installed("observer")
    monkeypatch.setattr(sys, "path", [*sys.path, *SITE])
    diagnosis = examine(plugin)
    assert diagnosis.verdict == "contract violation"
    assert "flk_on_roud" in diagnosis.detail


@pytest.mark.parametrize(
    ("group", "expected"),
    [("flk.observers.v1", "contract violation"), ("flk.deciders.v1", "ok")],
)
def test_who_decides_has_to_be_registered_as_a_decider(shelf, monkeypatch, group, expected):
    source = "from flk.hooks import impl\nclass O:\n    @impl\n    def flk_admit_run(self): ..."
    shelf.add("p", group, "o = mod_doc:O", source=source)
    (plugin,) = installed("observer")
    monkeypatch.setattr(sys, "path", [*sys.path, *SITE])
    diagnosis = examine(plugin)
    assert diagnosis.verdict == expected
    assert ("flk.deciders.v1" in diagnosis.detail) is (expected != "ok")


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("flk.stores.v2", "wrong contract version"),
        ("flk.stores.v0", "wrong contract version"),
        ("flk.drivers.v1", "reserved role"),
        ("flk.widgets.v1", "unknown role"),
    ],
)
def test_what_metadata_tells_is_told_without_importing(shelf, tmp_path, group, expected):
    proof = tmp_path / "imported"
    shelf.add("p", group, "a = mod_doc:Mine", source=f"open({str(proof)!r}, 'w')")
    (plugin,) = installed()
    diagnosis = examine(plugin)
    assert diagnosis.verdict == expected
    assert diagnosis.seconds is None
    assert not proof.exists()


def test_a_duplicate_name_names_the_other_distribution(shelf):
    shelf.add("p", "flk.stores.v1", "a = m:A")
    shelf.add("q", "flk.stores.v1", "a = m:A")
    shelf.add("r", "flk.stores.v2", "a = m:A")
    found = {d.plugin.distribution: d for d in examine_all(installed())}
    assert found["p"].verdict == found["q"].verdict == "duplicate name"
    assert "q 1.0" in found["p"].detail
    assert found["r"].verdict == "wrong contract version"


def test_a_requirement_that_is_not_installed_is_an_absent_dependency(shelf):
    requires = ["no-such-dist-of-acme>=2", 'other; python_version < "3"']
    shelf.add("p", "flk.stores.v1", "a = mod_doc:Mine", source=STORE, requires=requires)
    (plugin,) = installed()
    diagnosis = examine(plugin)
    assert diagnosis.verdict == "absent dependency"
    assert "no-such-dist-of-acme" in diagnosis.detail


def test_the_examiner_imports_nothing_itself(verdict):
    verdict(STORE)
    assert "mod_doc" not in sys.modules


DEDENTED = STORE.replace("\n    ", "\n")
