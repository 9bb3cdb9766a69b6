"""The kernel needs four packages, stays small, starts fast and does nothing that it forbids to
others."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from tests import code, repo

ALLOWED = {"click", "msgpack", "pluggy", "stevedore"}
ONLY_IN_REGISTRY = {"pluggy", "stevedore"}

MAX_LINES = 8_000
MAX_LINES_WITHOUT_NETWORK = 6_400  # docs/decisions/size-of-the-kernel.md
MAX_LINES_A_FILE = 400

HEAVY = {
    "asyncio",
    "concurrent.futures",
    "email",
    "importlib.metadata",
    "logging",
    "msgpack",
    "multiprocessing",
    "numpy",
    "pluggy",
    "rich",
    "socket",
    "sqlite3",
    "ssl",
    "stevedore",
    "torch",
    "urllib.request",
}

BANNED_CALLS = {
    "eval": "no text is ever executed",
    "exec": "no text is ever executed",
    "os.system": "no shell",
    "os.popen": "no shell",
    "time.sleep": "wait for the event instead",
    "asyncio.sleep": "wait for the event instead",
    "torch.load": "it unpickles; decode through a serializer",
    "yaml.load": "it constructs objects",
}
BANNED_METHODS = {
    "load_setuptools_entrypoints": "one broken plugin would stop everything; use flk.registry",
    "ExtensionManager": "it imports every plugin of a group; use flk.registry",
    "EnabledExtensionManager": "it imports every plugin of a group; use flk.registry",
    "HookManager": "it imports every plugin of a group; use flk.registry",
}
BANNED_IMPORTS = {
    "pickle": "it executes what it reads",
    "_pickle": "it executes what it reads",
    "cloudpickle": "it executes what it reads",
    "dill": "it executes what it reads",
    "joblib": "it unpickles",
    "marshal": "it crashes on what it reads",
    "shelve": "it unpickles",
    "time.sleep": "wait for the event instead",
    "asyncio.sleep": "wait for the event instead",
    "torch.load": "it unpickles; decode through a serializer",
}
BANNED_KEYWORDS = {"shell": "no shell", "allow_pickle": "no pickle"}

STRICT_IMPORTER = """
import importlib, pkgutil, sys

class OnlyTheKernel:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"the kernel may not import {name}", name=name)

allowed = {"flk", "click", "msgpack", "pluggy", "stevedore"}
sys.meta_path.insert(0, OnlyTheKernel())
import flk

def broken(name):
    raise

for module in pkgutil.walk_packages(flk.__path__, "flk.", onerror=broken):
    parts = module.name.split(".")
    if parts[1] not in ("testing", "_templates") and parts[-1] != "__main__":
        importlib.import_module(module.name)

from flk.cli import main
sys.argv = ["flk", "--help"]
main()
"""

LOADED = """
import json, sys
before = set(sys.modules)
try:
    {statement}
except SystemExit:
    pass
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def modules_loaded_by(statement: str) -> set[str]:
    child = run_python(LOADED.format(statement=statement))
    assert child.returncode == 0, child.stderr
    return set(json.loads(child.stdout.splitlines()[-1]))


def test_every_module_and_the_help_work_where_nothing_else_can_be_imported() -> None:
    child = run_python(STRICT_IMPORTER)
    assert child.returncode == 0, child.stderr
    assert "Usage" in child.stdout


def test_every_import_is_of_the_standard_library_or_one_of_four_packages() -> None:
    strays = [
        f"{path}:{line}: {name}"
        for path in code.kernel_files()
        for line, name in code.imports(path)
        if not name.startswith(".")
        and name.partition(".")[0] not in {"flk", *ALLOWED, *sys.stdlib_module_names}
    ]
    assert not strays, f"the kernel may import only {sorted(ALLOWED)}: {strays}"


def test_only_the_registry_imports_stevedore_and_pluggy() -> None:
    strays = [
        f"{path}:{line}: {name}"
        for path in code.kernel_files(testing=True)
        for line, name in code.imports(path)
        if name.partition(".")[0] in ONLY_IN_REGISTRY and "registry" not in path.parts
    ]
    assert not strays, strays


def test_the_kernel_imports_neither_its_testing_package_nor_its_templates() -> None:
    strays = [
        f"{path}:{line}: {name}"
        for path in code.kernel_files()
        for line, name in code.imports(path)
        if name.startswith(("flk.testing", "flk._templates"))
    ]
    assert not strays, strays


def test_the_kernel_stays_within_its_budget() -> None:
    total = sum(code.code_lines(path) for path in code.kernel_files())
    has_network = (code.KERNEL / "cell").exists()
    budget = MAX_LINES if has_network else MAX_LINES_WITHOUT_NETWORK
    assert total < budget, f"{total} lines of code in the kernel: what belongs in a plugin?"


def test_no_file_grows_beyond_what_one_reads_in_one_go() -> None:
    long = {
        str(path.relative_to(repo.ROOT)): lines
        for path in [*code.kernel_files(), *code.plugin_files()]
        if (lines := code.code_lines(path)) > MAX_LINES_A_FILE
    }
    assert not long, long


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ("# only a comment\n\n", 0),
        ('"""A docstring\nof two lines."""\nx = 1  # one\n', 1),
        ('x = """\na string\n"""\n', 3),
        ("def f(\n    a,\n):\n    'doc'\n    return a\n", 4),
    ],
)
def test_a_line_counts_unless_it_is_blank_comment_or_docstring(tmp_path, source, lines) -> None:
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    assert code.code_lines(path) == lines


def test_importing_flk_loads_nothing_heavy() -> None:
    loaded = modules_loaded_by("import flk")
    assert not loaded & (HEAVY | {"click"})


def test_the_help_loads_nothing_heavy() -> None:
    loaded = modules_loaded_by("sys.argv = ['flk', '--help']; from flk.cli import main; main()")
    assert "click" in loaded
    assert not loaded & HEAVY


def banned(path) -> list[str]:
    found = []
    for line, name in code.imports(path):
        reason = BANNED_IMPORTS.get(name) or BANNED_IMPORTS.get(name.partition(".")[0])
        found += [f"{path}:{line}: import {name}: {reason}"] if reason else []
    for line, name, keywords in code.calls(path):
        reason = BANNED_CALLS.get(name) or BANNED_METHODS.get(name.rpartition(".")[2])
        found += [f"{path}:{line}: {name}(): {reason}"] if reason else []
        for keyword, reason in BANNED_KEYWORDS.items():
            value = keywords.get(keyword)
            if value is not None and not (isinstance(value, ast.Constant) and not value.value):
                found.append(f"{path}:{line}: {keyword}={ast.unparse(value)}: {reason}")
    return found


def test_product_code_contains_nothing_that_is_banned() -> None:
    found = [b for path in [*code.kernel_files(), *code.plugin_files()] for b in banned(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "fault",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "import time\ntime.sleep(1)",
        "from asyncio import sleep",
        "manager.load_setuptools_entrypoints('x')",
        "from stevedore import ExtensionManager\nExtensionManager('x')",
        "import stevedore.extension as e\ne.ExtensionManager('x')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import numpy\nnumpy.load('x', allow_pickle=flag)",
    ],
)
def test_the_ban_finds_what_it_bans(tmp_path, fault) -> None:
    path = tmp_path / "module.py"
    path.write_text(fault, encoding="utf-8")
    assert banned(path)


def test_the_ban_allows_the_innocent(tmp_path) -> None:
    path = tmp_path / "module.py"
    path.write_text("import numpy\nnumpy.load('x', allow_pickle=False)\nmodel.eval()\n", "utf-8")
    assert banned(path) == []
