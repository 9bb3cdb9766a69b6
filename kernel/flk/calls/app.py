"""What of a user's object or module may be called: found by its marks, never by name or reflection
of a caller."""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple, Self

from flk.calls.decorators import mark_of
from flk.errors import NotExported, UsageError

__all__ = ["RESERVED", "App", "ClientApp", "Export", "ModuleWrapper", "ServerApp"]

RESERVED = frozenset({"child", "name", "names"})
"""Names that a proxy has for itself: a function called so could not be reached."""


class Export(NamedTuple):
    """A function that may be called from elsewhere."""

    function: Callable[..., Any]
    is_async: bool


class ModuleWrapper:
    """The marked functions of a module as an object's methods; only the module's name travels and
    is copied."""

    def __init__(self, module: ModuleType | str) -> None:
        self.module = module if isinstance(module, str) else module.__name__
        self._functions = vars(
            importlib.import_module(module) if isinstance(module, str) else module
        )

    @classmethod
    def of(cls, namespace: Mapping[str, Any], name: str) -> ModuleWrapper:
        """Wrap a module by its globals, also where no import system knows it (`__main__`, a
        notebook)."""
        wrapper = cls.__new__(cls)
        wrapper.module = name
        wrapper._functions = dict(namespace)
        return wrapper

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_functions"][name]
        except KeyError:
            raise AttributeError(
                f"module {self.__dict__.get('module')!r} has no {name!r}"
            ) from None

    def __dir__(self) -> list[str]:
        return list(self._functions)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class App:
    """One participant's code: a target object, what it exports, and its named child objects.

    A class is instantiated, a module wrapped, an object taken as it is. `child` objects are reached
    by `flk.clients(target="name")`.
    """

    def __init__(self, target: Any, children: Mapping[str, Any] | None = None) -> None:
        if isinstance(target, ModuleType):
            target = ModuleWrapper(target)
        elif isinstance(target, type):
            target = target()
        self.target = target
        exports, self.algos, self.inits, self.finals = _scan(target)
        self.exports = {n: Export(f, inspect.iscoroutinefunction(f)) for n, f in exports.items()}
        self.children = {name: App(child) for name, child in (children or {}).items()}

    def lookup(self, function: str, child: str | None, site: str) -> Export:
        """What is exported under this name, or NotExported."""
        app: App | None = self if child is None else self.children.get(child)
        found = app.exports.get(function) if app is not None else None
        if found is None:
            raise self._refusal(function, child, site)
        return found

    def _refusal(self, function: str, child: str | None, site: str) -> NotExported:
        if child is not None and child not in self.children:
            has = ", ".join(sorted(self.children)) or "none"
            what = f"{site} has no child object {child!r} (it has: {has})"
        else:
            app = self.children[child] if child is not None else self
            has = ", ".join(sorted(app.exports)) or "nothing"
            what = f"{site} does not export {function!r} (it exports: {has})"
        return NotExported(
            what,
            site=site,
            function=function,
            may_have_run=False,
            cure=f"Mark the function with @flk.collab: def {function}(...)",
        )


class ServerApp(App):
    """The server's code: exactly one `@flk.algo`."""

    def __init__(self, target: Any, children: Mapping[str, Any] | None = None) -> None:
        super().__init__(target, children)
        if len(self.algos) != 1:
            found = ", ".join(self.algos) or "none"
            raise UsageError(
                f"the server needs exactly one @flk.algo function, and {_name(target)} has {found}",
                cure="Decorate the function that orchestrates the rounds with @flk.algo",
            )

    @property
    def algo(self) -> Callable[..., Any]:
        """The algorithm, bound to its object."""
        algo: Callable[..., Any] = next(iter(self.algos.values()))
        return algo


class ClientApp(App):
    """A site's code, and how each site gets an instance of its own."""

    def __init__(self, target: Any, children: Mapping[str, Any] | None = None) -> None:
        self._source = target
        self._child_sources = dict(children or {})
        super().__init__(_instance(target), self._child_sources)

    def for_site(self) -> ClientApp:
        """A new instance: from `make_client_app()` or the factory or class that was given, else a
        deep copy."""
        children = {name: _instance(child) for name, child in self._child_sources.items()}
        return ClientApp(_instance(self._source), children)


def _instance(source: Any) -> Any:
    maker = (
        None
        if isinstance(source, ModuleType | ModuleWrapper)
        else getattr(source, "make_client_app", None)
    )
    if maker is not None:
        made = maker()
        return made.target if isinstance(made, App) else made
    if isinstance(source, App):
        return copy.deepcopy(source.target)
    if isinstance(source, ModuleType | ModuleWrapper):
        return source
    if isinstance(source, type) or inspect.isroutine(source):
        return source()
    return copy.deepcopy(source)


def _scan(target: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"collab": {}, "algo": {}, "init": {}, "final": {}}
    for name in _names(target):
        mark = mark_of(inspect.getattr_static(target, name, None)) or (
            mark_of(getattr(target, name)) if isinstance(target, ModuleWrapper) else ""
        )
        if not mark:
            static = inspect.getattr_static(target, name, None)
            mark = mark_of(getattr(static, "__func__", None))
        if not mark:
            continue
        if mark == "collab" and (name in RESERVED or name.startswith("_")):
            raise UsageError(
                f"@flk.collab cannot export a function called {name!r}",
                cure=f"Rename it: {', '.join(sorted(RESERVED))} names with _ in front are taken",
            )
        found[mark][name] = getattr(target, name)
    return found["collab"], found["algo"], found["init"], found["final"]


def _names(target: Any) -> list[str]:
    """Attribute names in the order of definition, bases first, without evaluating a property."""
    if isinstance(target, ModuleWrapper):
        return dir(target)
    names: dict[str, None] = {}
    for cls in reversed(type(target).__mro__):
        names.update(dict.fromkeys(vars(cls)))
    names.update(dict.fromkeys(getattr(target, "__dict__", {})))
    return list(names)


def _name(target: Any) -> str:
    if isinstance(target, ModuleWrapper | ModuleType):
        return str(getattr(target, "module", "") or getattr(target, "__name__", "the module"))
    return target.__name__ if isinstance(target, type) else type(target).__name__
