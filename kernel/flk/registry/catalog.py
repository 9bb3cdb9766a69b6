"""What is installed, and which of it a name means. Reads the metadata of distributions and imports
nothing.

The `entry_points.txt` of every distribution on `sys.path` is read here rather than through
importlib.metadata, whose import alone costs half as much as click's. Distributions inside zip
archives are not seen.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from flk.errors import PluginConflict, PluginIncompatible, PluginNotFound, UsageError
from flk.spi import ROLES, Role

__all__ = ["Plugin", "find", "installed"]

_ELSEWHERE = {
    ("aggregator", "mean"): "flk-workflow-fedavg",
    ("executor", "serial"): "flk-env-sim",
}
"""Names whose distribution is not `<prefix>-<name>`."""

_GROUP = re.compile(r"flk\.([a-z_]+)\.v([0-9]{1,4})")
_DECIDERS = "deciders"
_WORDS = {role.plural: role.word for role in ROLES.values()} | {_DECIDERS: "observer"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of one distribution. `value` is `module:attribute`; `role` is the word of a
    role, or the plural in the group's name if this kernel knows no such role."""

    role: str
    name: str
    value: str
    group: str
    distribution: str
    version: str
    summary: str

    @property
    def contract(self) -> int:
        """The version of the contract, from the group's name."""
        return int(self.group.rpartition(".v")[2])

    @property
    def decides(self) -> bool:
        """Whether it is an observer that says so of itself: one of the group `flk.deciders.v1`."""
        return self.group.startswith(f"flk.{_DECIDERS}.")

    @property
    def origin(self) -> str:
        """Distribution and version, for sentences."""
        return f"{self.distribution} {self.version}"


def installed(role: str | None = None) -> list[Plugin]:
    """Plugins of one role or of all, sorted by role and name, whatever contract version they speak.

    `FLK_PLUGINS=a,b` leaves only these, `FLK_PLUGINS_DISABLE=c` leaves those out; both take names
    of plugins or of distributions.
    """
    if role is not None:
        _role(role)
    return [
        plugin
        for plugin in _scan()
        if (role is None or plugin.role == role) and not _turned_off_by(plugin)
    ]


def find(role: str, name: str) -> Plugin:
    """The one plugin that this kernel would load for a name.

    Raises PluginNotFound, PluginConflict (two distributions provide it) or PluginIncompatible (it
    speaks another contract version, or the role is reserved), UsageError for an unknown role.
    """
    known = _role(role)
    every = [plugin for plugin in _scan() if plugin.role == role]
    named = [plugin for plugin in every if plugin.name == name]
    usable = [p for p in named if not _turned_off_by(p)]
    if not usable:
        if named:
            raise PluginNotFound(
                f"{role} {name!r} of {named[0].origin} is turned off by {_turned_off_by(named[0])}",
                cure="Change that variable",
                owner=named[0].distribution,
            )
        raise _not_found(known, name, sorted({p.name for p in every if not _turned_off_by(p)}))
    if not known.contract:
        raise PluginIncompatible(
            f"{role} {name!r} of {usable[0].origin} cannot be used: this kernel has no contract "
            "for the role yet",
            cure="Try: pip install --upgrade flk",
            owner=usable[0].distribution,
        )
    spoken = [plugin for plugin in usable if 1 <= plugin.contract <= known.version]
    if not spoken:
        raise PluginIncompatible(
            f"{role} {name!r} of {usable[0].origin} needs contract version {usable[0].contract}; "
            f"this kernel speaks 1 to {known.version}",
            cure=f"Try: pip install --upgrade flk {usable[0].distribution}",
            owner=usable[0].distribution,
        )
    owners = sorted({plugin.origin for plugin in spoken})
    if len(owners) > 1:
        raise PluginConflict(
            f"{role} {name!r} is provided by {' and '.join(owners)}",
            cure=f"Try: pip uninstall {spoken[-1].distribution}",
        )
    return max(spoken, key=lambda plugin: plugin.contract)


def _role(word: str) -> Role:
    if word not in ROLES:
        raise UsageError(f"no role {word!r}", cure=f"Roles are: {', '.join(ROLES)}")
    return ROLES[word]


def _not_found(role: Role, name: str, names: list[str]) -> PluginNotFound:
    from difflib import get_close_matches

    near = get_close_matches(name, names, 1)
    if near:
        cure = f"Did you mean {near[0]!r}?"
    elif re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", name):
        cure = f"Try: pip install {_ELSEWHERE.get((role.word, name), f'{role.prefix}-{name}')}"
    else:
        cure = "Names are letters, digits, dots, dashes and underscores"
    return PluginNotFound(
        f"no {role.word} {name!r}; installed: {', '.join(names) or 'none'}", cure=cure
    )


def _turned_off_by(plugin: Plugin) -> str:
    """The environment variable that hides a plugin, or an empty string."""
    known = {plugin.name, plugin.distribution}
    allowed = os.environ.get("FLK_PLUGINS")
    if allowed is not None and not known & _words(allowed):
        return "FLK_PLUGINS"
    return "FLK_PLUGINS_DISABLE" * bool(known & _words(os.environ.get("FLK_PLUGINS_DISABLE", "")))


def _words(text: str) -> set[str]:
    return {word.strip() for word in text.split(",")}


# reading metadata ---------------------------------------------------------------------------------


def _scan() -> tuple[Plugin, ...]:
    """Every plugin on `sys.path`; read again when an installation changed one of its folders."""
    return _scanned(tuple((folder, _changed(folder)) for folder in dict.fromkeys(sys.path)))


@lru_cache(maxsize=4)
def _scanned(folders: tuple[tuple[str, int], ...]) -> tuple[Plugin, ...]:
    found: dict[str, list[Plugin]] = {}
    for folder, changed in folders:
        if changed:
            for distribution, plugins in _distributions(folder or "."):
                found.setdefault(distribution, plugins)
    every = (plugin for plugins in found.values() for plugin in plugins)
    return tuple(sorted(every, key=lambda p: (p.role, p.name, p.distribution, p.group)))


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def _distributions(folder: str) -> Iterator[tuple[str, list[Plugin]]]:
    """Normalised name and plugins of each distribution of a folder that has plugins of ours."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # an entry of sys.path may be an archive, or not readable
        return
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            path = os.path.join(folder, name)
            text = _read(os.path.join(path, "entry_points.txt"))
            if "flk." in text and (entries := list(_entries(text))):
                yield _described(path, entries)


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Group, name and value of the entry points that are ours."""
    group = ""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            group = line[1 : line.find("]")].strip()
        elif "=" in line and not line.startswith(("#", ";")) and _GROUP.fullmatch(group):
            name, _, value = line.partition("=")
            yield group, name.strip(), value.partition("[")[0].strip()


def _described(path: str, entries: list[tuple[str, str, str]]) -> tuple[str, list[Plugin]]:
    kind = "METADATA" if path.endswith(".dist-info") else "PKG-INFO"
    facts: dict[str, str] = {}
    for line in _read(os.path.join(path, kind)).splitlines():
        if not line:
            break
        key, _, value = line.partition(":")
        facts.setdefault(key.lower(), value.strip())
    distribution = facts.get("name") or os.path.basename(path).partition("-")[0]
    plugins = []
    for group, name, value in entries:
        plural = group.split(".")[1]
        plugins.append(
            Plugin(
                role=_WORDS.get(plural, plural),
                name=name,
                value=value,
                group=group,
                distribution=distribution,
                version=facts.get("version", "?"),
                summary=facts.get("summary", ""),
            )
        )
    return re.sub(r"[-_.]+", "-", distribution).lower(), plugins


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # most distributions have no entry points
        return ""
