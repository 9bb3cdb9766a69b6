"""The rules of this repository that a machine can check. A failure says what to do."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from flk.registry import catalog
from flk.spi import ROLES

from tests import code, repo

PLUGINS = repo.plugins()
GROUPS = {role.group: role for role in ROLES.values()}

PUBLIC = {"flk.spi", "flk.hooks", "flk.errors", "flk.model", "flk.world"}
PUBLIC_FOR_ROLE = {
    "workflow": {"flk", "flk.calls"},
    "environment": {"flk.calls", "flk.job", "flk.cell", "flk.wire", "flk.registry"},
    "executor": {"flk.calls", "flk.job", "flk.cell", "flk.wire"},
    "launcher": {"flk.calls", "flk.job", "flk.cell", "flk.wire"},
    "command": {"flk.calls", "flk.job", "flk.cell", "flk.wire"},
}

UNSPEAKABLE = re.compile(
    r"(?<![\w.])/(work|root|opt|Users|home)/\w|file://|pypi\.org|pythonhosted|index-url",
    re.IGNORECASE,
)
FRAGMENT = re.compile(r"\+[a-z0-9-]+\.(added|changed|fixed|removed|security)\.md")

TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install tox && .venv/bin/tox run"
DEMO_COMMAND = f"{TEST_COMMAND} -e demo"


def roles_of(plugin: repo.Distribution) -> set[str]:
    return {GROUPS[group].word for group, _, _ in plugin.entry_points if group in GROUPS}


def committed_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repo.ROOT, capture_output=True, text=True, check=True
    )
    paths = [repo.ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.fixture(params=PLUGINS, ids=lambda plugin: plugin.folder.name)
def plugin(request) -> repo.Distribution:
    return request.param


# a plugin's folder --------------------------------------------------------------------------------


def test_a_folder_is_named_for_its_distribution(plugin) -> None:
    assert plugin.folder.name == plugin.name, "rename one of the two"


def test_a_distribution_is_one_typed_module_of_the_same_name(plugin) -> None:
    source = plugin.folder / "src"
    assert [path.name for path in sorted(source.iterdir()) if path.name != "__pycache__"] == [
        plugin.module
    ]
    assert (source / plugin.module / "__init__.py").exists()
    assert (source / plugin.module / "py.typed").exists(), "add an empty py.typed"


def test_a_distribution_is_named_with_the_prefix_of_one_of_its_roles(plugin) -> None:
    prefixes = {ROLES[word].prefix for word in roles_of(plugin)}
    assert any(plugin.name.startswith(f"{prefix}-") for prefix in prefixes), prefixes


def test_a_plugin_asks_for_what_the_others_ask_for(plugin) -> None:
    version = str(repo.kernel().project["version"])
    assert repo.requirement_on_the_kernel(version) in plugin.project["dependencies"]
    for key in ("requires-python", "license"):
        assert plugin.project[key] == repo.kernel().project[key], key
    assert plugin.project["description"], "`flk plugins` and `flk --help` show it"


def test_a_readme_names_the_distribution_and_how_to_install_it(plugin) -> None:
    text = (plugin.folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {plugin.name}\n")
    assert f"pip install {plugin.name}" in text


def test_the_tests_show_what_a_suite_compared(plugin) -> None:
    text = (plugin.folder / "tests" / "conftest.py").read_text(encoding="utf-8")
    assert 'pytest.register_assert_rewrite("flk.testing")' in text


# entry points -------------------------------------------------------------------------------------


def test_entry_points_are_in_the_current_group_of_a_known_role(plugin) -> None:
    assert list(plugin.entry_points), "a plugin without an entry point is not a plugin"
    unknown = [group for group, _, _ in plugin.entry_points if group not in GROUPS]
    assert not unknown, f"known groups: {sorted(GROUPS)}"


def test_entry_points_lead_to_public_names_of_the_plugins_own_module(plugin) -> None:
    for _, name, target in plugin.entry_points:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", name), name
        module, _, attribute = target.partition(":")
        assert module.partition(".")[0] == plugin.module, target
        assert attribute and not any(part.startswith("_") for part in attribute.split(".")), target
        assert hasattr(importlib.import_module(module), attribute), f"{target} does not exist"


def test_no_two_plugins_give_the_same_name_to_the_same_role() -> None:
    owners = defaultdict(list)
    for plugin in PLUGINS:
        for group, name, _ in plugin.entry_points:
            owners[group, name].append(plugin.name)
    assert not {key: names for key, names in owners.items() if len(names) > 1}


def test_the_catalog_says_rightly_which_distribution_to_install() -> None:
    for plugin in PLUGINS:
        for group, name, _ in plugin.entry_points:
            role = GROUPS[group]
            hint = catalog._ELSEWHERE.get((role.word, name), f"{role.prefix}-{name}")
            assert hint == plugin.name, f"add {role.word} {name!r} to flk.registry.catalog"


def test_every_role_of_a_plugin_is_held_to_its_suite(plugin) -> None:
    tree = code.tree(plugin.folder / "tests" / "test_contract.py")
    origin = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    held = {
        origin.get(ast.unparse(base).partition(".")[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
        for base in node.bases
    }
    for word in roles_of(plugin):
        assert f"flk.testing.{word}" in held, (
            f"tests/test_contract.py: subclass the suite of flk.testing.{word}"
        )


# who may import what ------------------------------------------------------------------------------


def test_a_plugin_imports_only_what_its_roles_may_and_no_underscored_name(plugin) -> None:
    allowed = PUBLIC.union(*(PUBLIC_FOR_ROLE.get(word, set()) for word in roles_of(plugin)))
    strays = []
    for path in sorted((plugin.folder / "src").rglob("*.py")):
        for line, name in code.imports(path):
            parts = name.split(".")
            if parts[0] == "flk" and (
                ".".join(parts[:2]) not in allowed or any(p.startswith("_") for p in parts)
            ):
                strays.append(f"{path.name}:{line}: {name}")
    assert not strays, f"{plugin.name} may import {sorted(allowed)}"


# files that follow from others --------------------------------------------------------------------


@pytest.mark.parametrize("path", repo.derived(), ids=lambda p: str(p.relative_to(repo.ROOT)))
def test_derived_files_are_up_to_date(path) -> None:
    assert path.read_text(encoding="utf-8") == repo.derived()[path], "run `python -m tests.repo`"


def test_there_is_one_version() -> None:
    assert {p.project["version"] for p in [repo.kernel(), *PLUGINS]} == {
        repo.kernel().project["version"]
    }, "bump it in the root's pyproject.toml and run `python -m tests.repo`"


def test_extras_are_aliases_for_plugins_that_exist() -> None:
    wanted = {
        requirement.partition(">=")[0]
        for requirements in repo.kernel().project["optional-dependencies"].values()
        for requirement in requirements
    }
    assert wanted <= {plugin.name for plugin in PLUGINS}


# tox and continuous integration -------------------------------------------------------------------


def test_every_plugin_is_an_environment_of_tox() -> None:
    listing = subprocess.run(
        [sys.executable, "-m", "tox", "list", "--no-desc"],
        cwd=repo.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    environments = set(listing.stdout.split())
    assert environments >= {plugin.name for plugin in PLUGINS} | {"plugins", "demo", "bench"}


def test_the_demo_installs_what_the_extra_sim_names() -> None:
    tox = configparser.ConfigParser()
    tox.read(repo.ROOT / "tox.ini", encoding="utf-8")
    installed = re.findall(r"-e \./plugins/(\S+)", tox["testenv:demo"]["deps"])
    extra = repo.kernel().project["optional-dependencies"]["sim"]
    assert installed == [requirement.partition(">=")[0] for requirement in extra]


def test_continuous_integration_runs_what_the_readme_tells_a_newcomer() -> None:
    lines = (repo.ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    readme = [line.removeprefix("$ ") for line in lines]
    script = (repo.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert TEST_COMMAND in readme
    assert DEMO_COMMAND in readme
    assert f"{{ {TEST_COMMAND}; }}" in script


# what is committed --------------------------------------------------------------------------------


def test_nothing_committed_names_a_machine_or_a_registry() -> None:
    found = []
    for path in committed_files():
        if path == Path(__file__):
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{n}" for n, line in enumerate(lines, 1) if UNSPEAKABLE.search(line)]
    assert not found, found


def test_changelog_fragments_say_which_distribution_they_are_about() -> None:
    names = {"flk", *(plugin.name for plugin in PLUGINS)}
    for path in (repo.ROOT / "changelog.d").glob("*"):
        if path.name != "README.md":
            assert FRAGMENT.fullmatch(path.name), path.name
            first = path.read_text(encoding="utf-8").partition(":")[0]
            assert first in names, f"{path.name} starts with {first!r}, not with a distribution"
