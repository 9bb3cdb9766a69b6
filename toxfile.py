"""A tox environment for each folder in plugins/, and one that runs them all."""

from __future__ import annotations

import sys
from pathlib import Path

from tox.config.loader.memory import MemoryLoader
from tox.config.sets import EnvConfigSet
from tox.config.types import Command
from tox.plugin import impl
from tox.session.state import State

PLUGINS = sorted(f.parent.name for f in Path(__file__).parent.glob("plugins/*/pyproject.toml"))


@impl
def tox_extend_envs() -> list[str]:
    return PLUGINS


@impl
def tox_add_env_config(env_conf: EnvConfigSet, state: State) -> None:
    if env_conf.name == "plugins":
        each = Command([sys.executable, "-m", "tox", "run", "-e", ",".join(PLUGINS)])
        loader = MemoryLoader(commands=[each], allowlist_externals=[sys.executable])
        env_conf.loaders.insert(0, loader)
