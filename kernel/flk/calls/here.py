"""What `flk.clients`, `flk.site` and the like mean at the place they are read: one function a
name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flk.calls.context import Context, current
from flk.calls.proxy import Group, Proxy

__all__ = ["caller", "clients", "context", "other_clients", "props", "server", "site", "state"]


def clients() -> Group:
    """All client sites that are present, in a stable order."""
    here = current("clients")
    return Group(here, here._run.dispatcher.sites())


def other_clients() -> Group:
    """All client sites that are present but this one."""
    here = current("other_clients")
    return Group(here, tuple(s for s in here._run.dispatcher.sites() if s != here.site))


def server() -> Proxy:
    """The server: what its code exports can be called from the sites."""
    return Proxy(current("server"), "server")


def site() -> str:
    """Name of the participant whose code runs: `server` or a site's."""
    return current("site").site


def caller() -> str:
    """Authenticated name of whoever called this function."""
    return current("caller").caller


def props() -> Mapping[str, Any]:
    """The settings of the job, with those of this site; read-only."""
    return current("props")._participant.props


def state() -> dict[str, Any]:
    """This site's durable state: what it holds when a round is committed survives a crash."""
    return current("state")._participant.state


def context() -> Context:
    """The context itself: run, folder, round, abort state."""
    return current("context")
