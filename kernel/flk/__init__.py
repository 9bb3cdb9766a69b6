"""flk, the federated-learning kernel: many sites train one model, and no data leave a site.

The names here are all that most federated code needs:

    import flk

    @flk.algo                           # once, at the server
    def fed_avg(rounds=5): ...

    @flk.collab                         # at every site, called as flk.clients.train(...)
    def train(weights): ...

    flk.Recipe("digits").execute(flk.env.sim(num_clients=5))

`clients`, `server`, `other_clients`, `site`, `caller`, `props`, `state` and `context` have a value
only inside a run. `flk.env`, `flk.workflow` and `flk.aggregator` are the installed plugins of that
role, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flk.calls.app import ClientApp as ClientApp
    from flk.calls.app import ModuleWrapper as ModuleWrapper
    from flk.calls.app import ServerApp as ServerApp
    from flk.calls.context import Context
    from flk.calls.context import carry as carry
    from flk.calls.context import describe as describe
    from flk.calls.context import log as log
    from flk.calls.context import rng as rng
    from flk.calls.context import seed as seed
    from flk.calls.decorators import algo as algo
    from flk.calls.decorators import collab as collab
    from flk.calls.decorators import final as final
    from flk.calls.decorators import init as init
    from flk.calls.options import CallOption as CallOption
    from flk.calls.proxy import Group, Proxy
    from flk.job.recipe import Recipe as Recipe
    from flk.job.rounds import commit as commit
    from flk.job.rounds import committed as committed
    from flk.job.rounds import rounds as rounds
    from flk.model import FLModel as FLModel
    from flk.model import ParamsType as ParamsType

    clients: Group
    other_clients: Group
    server: Proxy
    site: str
    caller: str
    props: Mapping[str, Any]
    state: dict[str, Any]
    context: Context
    env: Any
    workflow: Any
    aggregator: Any
    __version__: str

_HOMES = {
    "CallOption": "calls.options",
    "ClientApp": "calls.app",
    "FLModel": "model",
    "ModuleWrapper": "calls.app",
    "ParamsType": "model",
    "Recipe": "job.recipe",
    "ServerApp": "calls.app",
    "algo": "calls.decorators",
    "carry": "calls.context",
    "collab": "calls.decorators",
    "commit": "job.rounds",
    "committed": "job.rounds",
    "describe": "calls.context",
    "final": "calls.decorators",
    "init": "calls.decorators",
    "log": "calls.context",
    "rng": "calls.context",
    "rounds": "job.rounds",
    "seed": "calls.context",
}
_HERE = ("caller", "clients", "context", "other_clients", "props", "server", "site", "state")
_PARTS = ("calls", "errors", "hooks", "job", "model", "registry", "spi", "testing", "wire", "world")
_ROLES = {"env": "environment", "workflow": "workflow", "aggregator": "aggregator"}

__all__ = [*_HOMES, *_HERE, *_ROLES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HERE:
        from flk.calls import here

        return getattr(here, name)()
    from importlib import import_module

    if name in _HOMES:
        found = globals()[name] = getattr(import_module(f"flk.{_HOMES[name]}"), name)
        return found
    if name in _ROLES:
        from flk.registry.named import Named

        found = globals()[name] = Named(_ROLES[name])
        return found
    if name == "__version__":
        from importlib.metadata import version

        return version("flk")
    if name in _PARTS:
        return import_module(f"flk.{name}")
    raise AttributeError(f"module 'flk' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
