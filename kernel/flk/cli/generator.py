"""Writing a new plugin from the files in `flk/_templates/plugin`, which are a working plugin called
acme."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from flk.errors import StorageError, UsageError
from flk.spi import ROLES

__all__ = ["NAME", "TEMPLATES", "write_folder", "write_plugin"]

TEMPLATES = Path(__file__).parent.parent / "_templates"
NAME = re.compile(r"[a-z]([a-z0-9_-]{0,38}[a-z0-9])?")


def write_plugin(role: str, name: str, into: Path) -> Path:
    """Write the distribution `<prefix>-<name>` into a new folder of that name below `into`, and
    return the folder.

    Raises UsageError for a role without a contract or a name that cannot be one, and what
    `write_folder` raises.
    """
    if role not in ROLES or not ROLES[role].contract:
        raise UsageError(f"no plugin can be written for the role {role!r}")
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a plugin",
            cure="Use up to 40 lower-case letters, digits and dashes, beginning with a letter",
        )
    distribution = f"{ROLES[role].prefix}-{name}".replace("_", "-")
    module = distribution.replace("-", "_")
    camel = "".join(part.capitalize() for part in re.split("[-_]", name))
    target = "command" if role == "command" else f"{camel}{role.capitalize()}"
    words = {
        "flk-role-acme": distribution,
        "flk_role_acme": module,
        "flk.roles.v1": ROLES[role].group,
        "TARGET": target,
        "CONTRACT": ROLES[role].contract.replace(":", "."),
        "ROLE": role,
        "Acme": camel,
        "acme": name,
    }
    words["USAGE"] = _filled(f"{role}/usage.md", words).strip()
    # types are found by the package they live in: here, the plugin itself
    words["ENTRY"] = module if role in ("arrays", "serializer") else name
    folder = into / distribution
    files = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        f"src/{module}/__init__.py": f"{role}/plugin.py",
        f"src/{module}/py.typed": "common/py.typed",
        "tests/conftest.py": "common/conftest.py",
        "tests/test_contract.py": f"{role}/test_contract.py",
    }
    write_folder(folder, {path: _filled(template, words) for path, template in files.items()})
    return folder


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """A new folder with these texts by relative path. UsageError if it exists, StorageError if it
    cannot be written: nothing is left then."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(f"{folder} exists already", cure="Choose another name") from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(f"{folder} cannot be written: {error.strerror}") from error


def _filled(template: str, words: dict[str, str]) -> str:
    text = (TEMPLATES / "plugin" / template).read_text(encoding="utf-8")
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)
