"""What the repository consists of, read from its folders, and the files that follow from that.

`python -m tests.repo` writes the files that are derived: requirements-dev.txt, .importlinter, and
the version in every plugin's pyproject.toml, which is that of the root. `tests/test_repo.py` fails
while one of them is behind. It imports nothing of flk, so tox can use it too.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Distribution", "derived", "examples", "kernel", "plugins"]

ROOT = Path(__file__).parents[1]

TOOLS = """\
build
editables
furo
hatchling>=1.24
hypothesis
import-linter
mypy
myst-parser
pytest
pytest-timeout
ruff==0.17.6
scikit-learn
sphinx
towncrier
tox>=4.32
"""


@dataclass(frozen=True)
class Distribution:
    """One folder with a pyproject.toml; `path` is relative to the root."""

    folder: Path
    text: str
    project: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.project["name"])

    @property
    def module(self) -> str:
        return self.name.replace("-", "_")

    @property
    def path(self) -> str:
        return self.folder.relative_to(ROOT).as_posix()

    @property
    def entry_points(self) -> Iterator[tuple[str, str, str]]:
        """(group, name, target) of each."""
        for group, members in self.project.get("entry-points", {}).items():
            for name, target in members.items():
                yield group, name, target


def read(folder: Path) -> Distribution:
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    return Distribution(folder, text, tomllib.loads(text)["project"])


def below(folder: Path) -> list[Distribution]:
    return [read(f.parent) for f in sorted(folder.glob("*/pyproject.toml"))]


def kernel() -> Distribution:
    return read(ROOT)


def plugins() -> list[Distribution]:
    """The distributions in plugins/, by name."""
    return below(ROOT / "plugins")


def examples() -> list[Distribution]:
    """The examples that are distributions of their own."""
    return below(ROOT / "examples")


def minor(version: str, later: int = 0) -> str:
    """`0.1` of `0.1.5`, or a later one."""
    first, second, *_ = version.split(".")
    return f"{first}.{int(second) + later}"


def requirement_on_the_kernel(version: str) -> str:
    """What each plugin of this repository asks for: `flk>=0.1,<0.2`."""
    return f"flk>={minor(version)},<{minor(version, 1)}"


def requirements() -> str:
    editable = "".join(f"-e ./{d.path}\n" for d in [*plugins(), *examples()])
    pinned = (ROOT / "tests" / "constraints.txt").read_text(encoding="utf-8")
    return f"# Written by `python -m tests.repo`.\n-e .\n{editable}{TOOLS}{pinned}"


def importlinter() -> str:
    modules = [p.module for p in plugins()]
    text = (ROOT / "tests" / "importlinter.in").read_text(encoding="utf-8")
    text = text.replace("@roots@", "\n    ".join(["flk", *modules]))
    return text.replace("@plugins@", "\n    ".join(modules))


def at_version(plugin: Distribution, version: str) -> str:
    """The plugin's pyproject.toml at a version of the repository."""
    text = re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', plugin.text, count=1)
    return re.sub(r'"flk>=[^"]*"', f'"{requirement_on_the_kernel(version)}"', text, count=1)


def extras_at_version(root: Distribution, version: str) -> str:
    """The root's pyproject.toml with each extra asking for the plugins of that version."""
    return re.sub(r'"(flk-[a-z-]+)>=[^"]*"', rf'"\1>={minor(version)}"', root.text)


def derived() -> dict[Path, str]:
    """What each derived file should hold."""
    version = str(kernel().project["version"])
    files = {p.folder / "pyproject.toml": at_version(p, version) for p in plugins()}
    files[ROOT / "pyproject.toml"] = extras_at_version(kernel(), version)
    files[ROOT / "requirements-dev.txt"] = requirements()
    files[ROOT / ".importlinter"] = importlinter()
    return files


if __name__ == "__main__":
    for path, text in derived().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
