"""Finding out what is wrong with an installed plugin, by importing it in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from flk.registry.catalog import Plugin, installed
from flk.spi import ROLES

__all__ = ["Diagnosis", "examine", "examine_all"]

SLOW = 2.0
"""Seconds from which an import is called slow."""

_HARMLESS = frozenset({"ok", "slow import", "reserved role"})


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor found.

    verdict: `ok`, `slow import`, `reserved role`, `unknown role`, `wrong contract version`,
        `duplicate name`, `absent dependency`, `import error`, `contract violation` or `output on
        stdout`.
    detail: a sentence, empty for `ok`.
    seconds: what importing took; None if it was not imported.
    """

    plugin: Plugin
    verdict: str
    detail: str = ""
    seconds: float | None = None

    @property
    def harmless(self) -> bool:
        """Whether the plugin can be used, or at least disturbs nobody."""
        return self.verdict in _HARMLESS


def examine(plugin: Plugin, *, timeout: float = 60.0) -> Diagnosis:
    """Examine one plugin. What can be told from metadata is told without importing it."""
    return _from_metadata(plugin) or _from_import(plugin, timeout)


def examine_all(plugins: Iterable[Plugin], *, timeout: float = 60.0) -> list[Diagnosis]:
    """Examine several at once, as many as there are cores; in the order given."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda plugin: examine(plugin, timeout=timeout), plugins))


def _from_metadata(plugin: Plugin) -> Diagnosis | None:
    role = ROLES.get(plugin.role)
    if role is None:
        return Diagnosis(plugin, "unknown role", f"This kernel has no group {plugin.group}.")
    if not role.contract:
        return Diagnosis(plugin, "reserved role", "This kernel has no contract for the role yet.")
    if not 1 <= plugin.contract <= role.version:
        speaks = f"It needs contract version {plugin.contract}; this kernel speaks 1 to"
        return Diagnosis(plugin, "wrong contract version", f"{speaks} {role.version}.")
    others = {
        other.origin
        for other in installed(role.word)
        if other.name == plugin.name and 1 <= other.contract <= role.version
    } - {plugin.origin}
    if others:
        also = f"{' and '.join(sorted(others))} provides it too; uninstall one."
        return Diagnosis(plugin, "duplicate name", also)
    absent = _absent(plugin.distribution)
    if absent:
        return Diagnosis(plugin, "absent dependency", f"{absent} is not installed.")
    return None


def _absent(distribution: str) -> str:
    """The first required distribution that is not there. Requirements with markers are left to the
    import."""
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    try:
        needed = requires(distribution) or []
    except PackageNotFoundError:
        return ""
    for requirement in needed:
        if ";" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
            try:
                version(match[0])
            except PackageNotFoundError:
                return match[0]
    return ""


def _from_import(plugin: Plugin, timeout: float) -> Diagnosis:
    question = json.dumps({"path": sys.path, "plugin": asdict(plugin)})
    command = [sys.executable, "-P", "-c", _CHILD]
    try:
        child = subprocess.run(  # noqa: S603 our own interpreter and code
            command, input=question, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return Diagnosis(plugin, "import error", f"Importing did not end within {timeout:g} s.")
    try:
        found: dict[str, Any] = json.loads(child.stdout)
    except ValueError:
        told = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
        died = f"The process ended with {child.returncode} while importing: {told}"
        return Diagnosis(plugin, "import error", died)
    if found["verdict"] != "ok":
        return Diagnosis(plugin, found["verdict"], found["detail"], found["seconds"])
    if found["output"]:
        return Diagnosis(plugin, "output on stdout", repr(found["output"]), found["seconds"])
    if found["seconds"] > SLOW:
        slow = f"Importing took {found['seconds']:.1f} s."
        return Diagnosis(plugin, "slow import", slow, found["seconds"])
    return Diagnosis(plugin, "ok", "", found["seconds"])


# in the child -------------------------------------------------------------------------------------

_CHILD = """\
import json, sys
question = json.load(sys.stdin)
sys.path[:] = question["path"]
from flk.registry.doctor import _answer
_answer(question["plugin"])
"""


def _answer(fields: dict[str, str]) -> None:
    """Import a plugin with stdout kept aside, and write what was found."""
    import tempfile

    plugin = Plugin(**fields)
    answer = os.dup(1)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 1)
        verdict, detail, seconds = _tried(plugin)
        sys.stdout.flush()
        aside.seek(0)
        output = aside.read(200).decode(errors="replace")
    detail = " ".join(detail.split())[:1000]
    report = {"verdict": verdict, "detail": detail, "seconds": seconds, "output": output}
    os.write(answer, json.dumps(report).encode())
    os._exit(0)


def _tried(plugin: Plugin) -> tuple[str, str, float]:
    import time

    from flk.errors import PluginContractError, PluginLoadError
    from flk.registry.loader import contract, load_plugin

    contract(plugin.role)
    began = time.perf_counter()
    try:
        found = load_plugin(plugin)
        seconds = time.perf_counter() - began
        if plugin.role == "observer":
            from flk.registry.bus import created, heard, only_listens

            calls = heard(created(found, plugin.name), plugin.name)
            if not plugin.decides:
                only_listens(calls, plugin.name)
    except PluginLoadError as error:
        seconds = time.perf_counter() - began
        cause = error.__cause__
        own = plugin.value.partition(":")[0].partition(".")[0]
        if isinstance(cause, ModuleNotFoundError) and (cause.name or own).split(".")[0] != own:
            return "absent dependency", f"No module named {cause.name!r}.", seconds
        return "import error", f"{error.what}.", seconds
    except PluginContractError as error:
        return "contract violation", f"{error.what}.", time.perf_counter() - began
    return "ok", "", seconds
