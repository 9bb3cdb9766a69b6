"""What of a user's object or module may be called: found by its marks, never by name or reflection
of a caller."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple, Self

from flk.calls.decorators import mark_of
from flk.errors import NotExported, UsageError

__all__ = ["RESERVED", "App", "ClientApp", "Export", "ModuleWrapper", "ServerApp", "instance"]

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
    by `flk.clients(target="name")`. Taking another App takes its children, too.
    """

    def __init__(self, target: Any, children: Mapping[str, Any] | None = None) -> None:
        self._source, self._child_sources = target, dict(children or {})
        if isinstance(target, App):
            target, children = target.target, {**target.children, **(children or {})}
        elif isinstance(target, ModuleType):
            target = ModuleWrapper(target)
        elif isinstance(target, type):
            target = target()
        self.target: Any = target
        exports, self.algos, self.inits, self.finals = _scan(target)
        self.exports = {n: Export(f, inspect.iscoroutinefunction(f)) for n, f in exports.items()}
        self.children: dict[str, App] = {}
        for name, child in (children or {}).items():
            self.children[name] = child if isinstance(child, App) else App(child)

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
                f"the server needs exactly one @flk.algo function, and {_name(self.target)} "
                f"has {found}",
                cure="Mark the one function that orchestrates the rounds with @flk.algo",
            )

    @property
    def algo(self) -> Callable[..., Any]:
        """The algorithm, bound to its object."""
        algo: Callable[..., Any] = next(iter(self.algos.values()))
        return algo


class ClientApp(App):
    """A site's code, and how each site gets an instance of its own: from its `make_client_app()`,
    from the factory or class that was given, else by a deep copy."""

    def __init__(self, target: Any, children: Mapping[str, Any] | None = None) -> None:
        children = dict(children or {})
        super().__init__(
            instance(target), {name: instance(child) for name, child in children.items()}
        )
        self._source, self._child_sources = target, children
        self._taken = False

    def for_site(self) -> ClientApp:
        """An instance that nobody has yet: this one for the first who asks, then new ones."""
        if not self._taken:
            self._taken = True
            return self
        new = ClientApp(self._source, self._child_sources)
        new._taken = True
        return new


def instance(source: Any, *, maker: str = "make_client_app") -> Any:
    """What a participant gets for itself of an object, class, factory, module or App."""
    if isinstance(source, ModuleType | ModuleWrapper):
        return source
    if isinstance(source, App):
        parts = source._child_sources.items()
        made = instance(source._source, maker=maker)
        return App(made, {name: instance(part, maker=maker) for name, part in parts})
    if isinstance(source, type | functools.partial) or inspect.isroutine(source):
        source = source()
    elif not hasattr(source, maker):
        try:
            return copy.deepcopy(source)
        except Exception as error:
            raise UsageError(
                f"{_name(source)} cannot be copied ({type(error).__name__}: {error})",
                cure="Give the class itself, or a function that makes an instance",
            ) from error
    return getattr(source, maker)() if hasattr(source, maker) else source


def _scan(target: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"collab": {}, "algo": {}, "init": {}, "final": {}}
    for name in _names(target):
        module = isinstance(target, ModuleWrapper)
        value = getattr(target, name) if module else inspect.getattr_static(target, name, None)
        mark = mark_of(value) or mark_of(getattr(value, "__func__", None))
        if not mark:
            continue
        if mark == "collab" and (name in RESERVED or name.startswith("_")):
            raise UsageError(
                f"@flk.collab cannot export a function called {name!r}",
                cure=f"Taken are {', '.join(sorted(RESERVED))} and names with _ in front",
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
