"""A shelf: a folder on sys.path with made-up distributions, beside which nothing is installed."""

import os
import sys
import textwrap
from pathlib import Path

import flk.registry.bus
import flk.registry.doctor
import flk.registry.families
import flk.wire  # with msgpack, while site-packages can still be seen
import pytest


class Shelf:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._times = 0

    def add(self, distribution, group, *entries, version="1.0", source="", requires=()):
        """A distribution with entry points `name = module:attribute` of one group; `source` is the
        content of the first entry's module."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
        lines += [f"Summary: What {distribution} is for"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n\nLong text.\n")
        with (info / "entry_points.txt").open("a") as file:
            file.write(f"[console_scripts]\nx = y:z\n\n[{group}]\n" + "\n".join(entries) + "\n")
        if source:
            module = entries[0].partition("=")[2].partition(":")[0].strip()
            (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        self._times += 1
        os.utime(self.folder, (self._times, self._times))


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    folder = tmp_path / "shelf"
    folder.mkdir()
    alone = [p for p in sys.path if "site-packages" not in p and not list(Path(p).glob("*.*-info"))]
    monkeypatch.setattr(sys, "path", [str(folder), *alone])
    for name in ("FLK_PLUGINS", "FLK_PLUGINS_DISABLE", "FLK_STRICT"):
        monkeypatch.delenv(name, raising=False)
    loaded = set(sys.modules)
    yield Shelf(folder)
    for name in set(sys.modules) - loaded:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    flk.registry.loader.load_plugin.cache_clear()
    flk.registry.families.family.cache_clear()
    flk.registry.families._instance.cache_clear()
