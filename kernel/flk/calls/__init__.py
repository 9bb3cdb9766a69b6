"""The collaborative API: mark functions, call them at other participants, reduce what comes
back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flk._lazy import attach

if TYPE_CHECKING:
    from flk.calls.app import (
        App as App,
    )
    from flk.calls.app import (
        ClientApp as ClientApp,
    )
    from flk.calls.app import (
        ModuleWrapper as ModuleWrapper,
    )
    from flk.calls.app import (
        ServerApp as ServerApp,
    )
    from flk.calls.call import Call as Call
    from flk.calls.call import Progress as Progress
    from flk.calls.context import (
        Context as Context,
    )
    from flk.calls.context import (
        Participant as Participant,
    )
    from flk.calls.context import (
        RunScope as RunScope,
    )
    from flk.calls.context import (
        carry as carry,
    )
    from flk.calls.context import (
        current as current,
    )
    from flk.calls.context import (
        describe as describe,
    )
    from flk.calls.context import (
        entered as entered,
    )
    from flk.calls.context import (
        log as log,
    )
    from flk.calls.context import (
        rng as rng,
    )
    from flk.calls.context import (
        seed as seed,
    )
    from flk.calls.decorators import algo as algo
    from flk.calls.decorators import collab as collab
    from flk.calls.decorators import final as final
    from flk.calls.decorators import init as init
    from flk.calls.dispatch import Dispatcher as Dispatcher
    from flk.calls.guard import Guard as Guard
    from flk.calls.local import LocalDispatcher as LocalDispatcher
    from flk.calls.options import CallOption as CallOption
    from flk.calls.proxy import Group as Group
    from flk.calls.proxy import Proxy as Proxy
    from flk.calls.proxy import ProxyList as ProxyList
    from flk.calls.reduction import Reduction as Reduction
    from flk.calls.results import (
        AsCompleted as AsCompleted,
    )
    from flk.calls.results import (
        Pending as Pending,
    )
    from flk.calls.results import (
        Results as Results,
    )
    from flk.calls.results import (
        Stream as Stream,
    )
    from flk.calls.tasks import Fault as Fault

_HOMES = {
    "App": "app",
    "AsCompleted": "results",
    "Call": "call",
    "CallOption": "options",
    "ClientApp": "app",
    "Context": "context",
    "Dispatcher": "dispatch",
    "Fault": "tasks",
    "Group": "proxy",
    "Guard": "guard",
    "LocalDispatcher": "local",
    "ModuleWrapper": "app",
    "Participant": "context",
    "Pending": "results",
    "Progress": "call",
    "Proxy": "proxy",
    "ProxyList": "proxy",
    "Reduction": "reduction",
    "Results": "results",
    "RunScope": "context",
    "ServerApp": "app",
    "Stream": "results",
    "algo": "decorators",
    "carry": "context",
    "collab": "decorators",
    "current": "context",
    "describe": "context",
    "entered": "context",
    "final": "decorators",
    "init": "decorators",
    "log": "context",
    "rng": "context",
    "seed": "context",
}
__all__ = list(_HOMES)
__getattr__ = attach(__name__, _HOMES)
