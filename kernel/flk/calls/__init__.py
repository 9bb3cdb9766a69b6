"""The collaborative API: mark functions, call them at other participants, reduce what comes
back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flk._lazy import attach

if TYPE_CHECKING:
    from flk.calls.app import *
    from flk.calls.call import *
    from flk.calls.context import *
    from flk.calls.decorators import *
    from flk.calls.dispatch import *
    from flk.calls.guard import *
    from flk.calls.local import *
    from flk.calls.options import *
    from flk.calls.proxy import *
    from flk.calls.reduction import *
    from flk.calls.results import *
    from flk.calls.tasks import *

_MODULES = {
    "app": "App ClientApp ModuleWrapper ServerApp",
    "call": "Call Progress",
    "context": "Context Participant RunScope carry current describe entered log rng seed",
    "decorators": "algo collab final init",
    "dispatch": "Dispatcher",
    "guard": "Guard",
    "local": "LocalDispatcher",
    "options": "CallOption",
    "proxy": "Group Proxy ProxyList",
    "reduction": "Reduction",
    "results": "AsCompleted Pending Results Stream",
    "tasks": "Fault",
}
__all__, __getattr__ = attach(__name__, _MODULES)
