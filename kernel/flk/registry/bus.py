"""Telling everybody who listens what happens, and asking those who decide.

Events (`flk_on_...`) go to a courier for each listener, so that one that raises, hangs or is slow
harms nobody else. Steps are asked one by one while the caller waits, and fail closed.
"""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

import pluggy

from flk import hooks
from flk.errors import (
    FlkError,
    PluginConflict,
    PluginContractError,
    PluginLoadError,
    RunRefused,
    described,
)
from flk.registry.catalog import installed
from flk.registry.courier import Courier, Overdue
from flk.registry.loader import load
from flk.world import World

__all__ = ["Bus", "Failure", "created", "heard", "only_listens"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a listener did wrong. `hook` is empty if it was not in one call; `reason` is the end of
    a sentence; `dropped` says that it is told nothing more."""

    plugin: str
    hook: str
    reason: str
    error: BaseException | None = None
    dropped: bool = False

    def __str__(self) -> str:
        hook = f": {self.hook}" if self.hook else ""
        end = "; it is dropped" if self.dropped else ""
        return f"observer {self.plugin!r}{hook} {self.reason}{end}"


class Bus:
    """The listeners of one run. All methods may be called from any thread; `flush`, `close` and
    `decide` block, so not from the world's loop.

    `report` is given each Failure once, as it happens, from whichever thread; the default logs a
    warning.
    """

    def __init__(
        self,
        world: World,
        report: Callable[[Failure], Any] | None = None,
        *,
        patience: float = 5.0,
    ) -> None:
        self.failures: list[Failure] = []
        self._world = world
        self._report = report or _log
        self._patience = patience
        self._lock = threading.Lock()
        self._listeners: dict[str, _Listener] = {}
        self._heard: dict[str, tuple[_Listener, ...]] = {
            name: () for topic in _topics() for name in _specified(topic)
        }

    def load_observers(self) -> None:
        """Register every installed observer that is not turned off or idle. One that is broken is
        reported and skipped, unless it is a decider or `FLK_STRICT=1`: then it raises. So does one
        that decides without being registered as a decider."""
        found: dict[str, bool] = {}
        for plugin in installed("observer"):
            found[plugin.name] = found.get(plugin.name, False) or plugin.decides
        strict = os.environ.get("FLK_STRICT", "") not in ("", "0")
        for name, decides in found.items():
            if name in self._listeners:
                continue
            try:
                listener = created(load("observer", name), name)
                if not _answered(lambda: getattr(listener, "idle", False), name):  # noqa: B023
                    self.register(listener, name)
            except FlkError as error:
                if strict or decides:
                    raise
                self._fail(Failure(name, "", f"is skipped: {error}", error))
            if name in self._listeners and not decides:
                only_listens(self._listeners[name].calls, name)

    def register(self, listener: object, name: str) -> None:
        """Tell `listener` from now on. Raises PluginContractError for a hook that does not exist or
        takes an argument that the hook has not, PluginConflict if the name is taken."""
        calls = heard(listener, name)
        with self._lock:
            if name in self._listeners:
                raise PluginConflict(f"a listener named {name!r} is registered already", owner=name)
            registered = self._listeners[name] = _Listener(self, name, calls)
            for hook in calls:
                self._heard[hook] = (*self._heard[hook], registered)

    def listens(self, hook: str) -> bool:
        """Whether anybody implements the hook."""
        return bool(self._heard[hook])

    def notify(self, hook: str, /, **kwargs: Any) -> None:
        """Tell an event to every listener and return at once. Listeners are given these very
        objects."""
        for listener in self._heard[hook]:
            listener.courier.put((hook, kwargs))

    def decide(self, hook: str, /, **kwargs: Any) -> None:
        """Ask a step of every listener in the order of registration, each in a thread of its own.
        Raises RunRefused, naming the plugin, unless all answer True in time."""
        for listener in self._heard[hook]:
            refusal = self._asked(listener, hook, kwargs)
            if refusal:
                raise RunRefused(refusal, owner=listener.name)

    def flush(self, timeout: float) -> bool:
        """Wait until every event told so far was heard by those that are not dropped; False if that
        took longer."""
        end = self._world.now() + timeout
        couriers = [listener.courier for listener in self._told()]
        return all(c.flush(max(0.0, end - self._world.now())) or c.dropped for c in couriers)

    def close(self, timeout: float) -> bool:
        """Tell nothing more, wait for what is queued and end the threads; False if a listener had
        not heard everything by then. Idempotent."""
        end = self._world.now() + timeout
        told = [listener for listener in self._told() if not listener.courier.dropped]
        outcomes = [x.courier.close(max(0.0, end - self._world.now())) for x in told]
        for listener, ended in zip(told, outcomes, strict=True):
            lost, listener.courier.lost = listener.courier.lost, 0
            if lost or not ended:
                reason = f"was too slow: {lost} events were not told"
                self._fail(Failure(listener.name, "", reason, dropped=not ended))
        return all(outcomes)

    # inside ---------------------------------------------------------------------------------------

    def _told(self) -> list[_Listener]:
        with self._lock:
            return list(self._listeners.values())

    def _fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        self._report(failure)

    def _failed(self, listener: _Listener, hook: str, error: BaseException, dropped: bool) -> None:
        """A listener's courier could not deliver an event."""
        reason = str(error) if isinstance(error, Overdue) else f"raised {described(error)}"
        if dropped:
            with self._lock:
                for event, listeners in self._heard.items():
                    if event.startswith("flk_on_"):
                        self._heard[event] = tuple(x for x in listeners if x is not listener)
        self._fail(Failure(listener.name, hook, reason, error, dropped))
        if dropped:
            self.notify("flk_on_plugin_dropped", plugin=listener.name, hook=hook, reason=reason)

    def _asked(self, listener: _Listener, hook: str, kwargs: Mapping[str, Any]) -> str:
        """The sentence with which a listener refuses; empty if it agrees."""
        answers: list[Any] = []
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                answers.extend(listener.calls[hook](**kwargs))
            except BaseException as error:
                errors.append(error)

        name, error = listener.name, None
        if not self._world.thread(ask, f"flk-{hook}")(self._patience):
            reason = f"did not answer within {self._patience:g} seconds"
        elif errors:
            error = errors[0]
            reason = f"raised {described(error)}"
        else:
            answer = answers[0] if answers else None
            if answer is True:
                return ""
            if type(answer) is str and answer.strip():
                return f"{name!r} refuses: {answer}"
            plain = answer is None or type(answer) in (bool, int, str)
            said = repr(answer) if plain else f"a {type(answer).__name__}"
            reason = f"answered {said} instead of True or a sentence"
        self._fail(Failure(name, hook, reason, error))
        return f"{name!r} {reason} when asked {hook}"


class _Listener:
    """One registered object: the hooks it implements and the courier that tells it events."""

    def __init__(self, bus: Bus, name: str, calls: Mapping[str, Callable[..., Any]]) -> None:
        self.name = name
        self.calls = calls
        self._bus = bus
        self._warned: set[str] = set()
        self.courier = Courier(
            bus._world, name, self._tell, patience=bus._patience, failed=self._failed
        )

    def _tell(self, items: Sequence[tuple[str, dict[str, Any]]]) -> None:
        for hook, kwargs in items:
            answers = self.calls[hook](**kwargs)
            if answers and hook not in self._warned:
                self._warned.add(hook)
                reason = f"returned a {type(answers[0]).__name__}; an event returns nothing"
                self._bus._fail(Failure(self.name, hook, reason))

    def _failed(
        self, items: Sequence[tuple[str, Any]], error: BaseException, dropped: bool
    ) -> None:
        self._bus._failed(self, items[0][0], error, dropped)


def created(found: Any, name: str) -> object:
    """The listener: what was registered, or an instance of it if it is a class."""
    return _answered(found, name) if isinstance(found, type) else found


def _answered(question: Callable[[], Any], name: str) -> Any:
    """What a stranger's code says; PluginLoadError if it raises."""
    try:
        return question()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginLoadError(
            f"observer {name!r} cannot be created: {described(error)}",
            cure="Try: flk plugins doctor",
            owner=name,
        ) from error


def _log(failure: Failure) -> None:
    logging.getLogger("flk").warning("%s", failure)


# hooks and pluggy ---------------------------------------------------------------------------------


def heard(listener: object, name: str) -> dict[str, Callable[..., Any]]:
    """The hooks a listener implements; calling one gives a list with its answer, or an empty one
    for None. Raises PluginContractError."""
    manager = _Manager("flk")
    for topic in _topics():
        manager.add_hookspecs(topic)
    known = [hook for topic in _topics() for hook in _specified(topic)]
    for attribute in dir(listener):
        function = _function(listener, attribute)
        if function is None:
            continue
        marked = getattr(function, hooks.MARK, False) is True
        if attribute.startswith("flk_") and not marked:
            raise _contract(name, f"{attribute} lacks the decorator flk.hooks.impl")
        if marked and attribute not in known:
            from difflib import get_close_matches

            near = get_close_matches(attribute, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise _contract(name, f"there is no hook {attribute}{hint}")
        if marked and (
            inspect.iscoroutinefunction(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise _contract(name, f"{attribute} must be a plain function, no coroutine, no yield")
    try:
        manager.register(listener, name)
    except pluggy.PluginValidationError as error:
        raise _contract(name, " ".join(str(error).split())) from error
    return {caller.name: caller for caller in manager.get_hookcallers(listener) or ()}


def only_listens(calls: Iterable[str], name: str) -> None:
    """Raises PluginContractError for an observer that decides and is not registered as a decider:
    were it broken, nobody would know that it has to be asked."""
    step = next((hook for hook in calls if not hook.startswith("flk_on_")), None)
    if step:
        what = f"{step} decides, so its entry point belongs into the group flk.deciders.v1"
        raise _contract(name, what)


class _Manager(pluggy.PluginManager):
    """pluggy with the marks of `flk.hooks`, which imports no pluggy."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        function = _function(plugin, name)
        if function is None or getattr(function, hooks.MARK, False) is not True:
            return None
        return {"specname": None}

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        if name not in _specified(module_or_class):
            return None
        return {"firstresult": False, "historic": False, "warn_on_impl": None}


def _function(owner: object, name: str) -> Any:
    """A method as it was written; None for anything else. Never runs a property."""
    found = inspect.getattr_static(owner, name, None)
    found = found.__func__ if isinstance(found, staticmethod | classmethod) else found
    return found if inspect.isroutine(found) else None


@lru_cache(maxsize=1)
def _topics() -> tuple[ModuleType, ...]:
    return tuple(import_module(f"flk.hooks.{topic}") for topic in hooks.TOPICS)


def _specified(topic: ModuleType) -> list[str]:
    return [name for name in topic.__all__ if name.startswith("flk_")]


def _contract(name: str, what: str) -> PluginContractError:
    return PluginContractError(f"observer {name!r}: {what}", owner=name)
