"""Who can be called: proxies of one participant and of a group. A call on them becomes a `Call` for
the dispatcher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from flk.calls.call import Call
from flk.calls.context import Context
from flk.calls.dispatch import never
from flk.calls.options import CallOption
from flk.calls.results import Pending, Results, in_coroutine
from flk.errors import RunAborted, UsageError

__all__ = ["Group", "Proxy", "ProxyList"]

_DEFAULT = CallOption()


class Proxy:
    """One participant: `flk.server`, `flk.clients["site-1"]`. `proxy.function(...)` calls it and
    returns its value."""

    __slots__ = ("_context", "_option", "name")

    def __init__(self, context: Context, name: str, option: CallOption = _DEFAULT) -> None:
        self._context = context
        self._option = option
        self.name = name

    def __call__(self, **options: Any) -> Proxy:
        """The same participant with call options (see CallOption)."""
        return Proxy(self._context, self.name, self._option.but(options))

    def child(self, name: str) -> Proxy:
        """A named child object of the participant."""
        return self(target=name)

    def __getattr__(self, function: str) -> _Function:
        return _Function(self._context, (self.name,), _callable_name(function), self._option, True)

    def __repr__(self) -> str:
        return f"<Proxy of {self.name}>"


class Group:
    """Several participants. `group.function(...)` calls all and returns `Results`;
    `group["site-1"]` is one of them, `group[["site-1", "site-4"]]` or `group[:3]` a smaller
    group."""

    __slots__ = ("_context", "_option", "names")

    def __init__(
        self, context: Context, names: tuple[str, ...], option: CallOption = _DEFAULT
    ) -> None:
        self._context = context
        self._option = option
        self.names = names

    def __call__(self, **options: Any) -> Group:
        """The same group with call options (see CallOption)."""
        return Group(self._context, self.names, self._option.but(options))

    def child(self, name: str) -> Group:
        """A named child object of each participant."""
        return self(target=name)

    def __getattr__(self, function: str) -> _Function:
        return _Function(self._context, self.names, _callable_name(function), self._option, False)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[Proxy]:
        return (Proxy(self._context, name, self._option) for name in self.names)

    @overload
    def __getitem__(self, key: int | str) -> Proxy: ...
    @overload
    def __getitem__(self, key: slice | list[str] | tuple[str, ...]) -> Group: ...
    def __getitem__(self, key: Any) -> Proxy | Group:
        if isinstance(key, str):
            return Proxy(self._context, self._known(key), self._option)
        if isinstance(key, slice):
            return Group(self._context, self.names[key], self._option)
        if isinstance(key, list | tuple):
            names = tuple(self._known(name) for name in key)
            if len(set(names)) < len(names):
                raise UsageError(f"a site appears twice among {', '.join(names)}")
            return Group(self._context, names, self._option)
        return Proxy(self._context, self.names[key], self._option)

    def __repr__(self) -> str:
        shown = ", ".join(self.names[:4]) + (", ..." if len(self.names) > 4 else "")
        return f"<Group of {len(self.names)}: {shown}>"

    def _known(self, name: str) -> str:
        if name not in self.names:
            raise UsageError(
                f"there is no site {name!r} here; present: {', '.join(self.names) or 'none'}"
            )
        return name


Sequence.register(Group)  # not a base: its `count` and `index` are names a site may export
ProxyList = Group


class _Function:
    __slots__ = ("_context", "_function", "_option", "_single", "_targets")

    def __init__(
        self,
        context: Context,
        targets: tuple[str, ...],
        function: str,
        option: CallOption,
        single: bool,
    ) -> None:
        self._context = context
        self._targets = targets
        self._function = function
        self._option = option
        self._single = single

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context, option = self._context, self._option
        run = context._run
        if run.aborted:
            raise RunAborted(run.aborted)
        open = not (option.blocking and option.expect_result) or in_coroutine()
        call = Call(
            run,
            next(run.numbers),
            context.site,
            context.round,
            self._targets,
            self._function,
            args,
            kwargs,
            option,
            single=self._single,
            nested=context._call is not None,
            detached=open,
        )
        if context._call is None:
            _tell(call)
        else:
            call.nest_in(context._call, context.site)
        run.dispatcher.start(call)
        if not option.expect_result:
            return None
        if open:
            return Pending(call) if self._single else Results(call)
        if not call.closed:
            run.dispatcher.drive(call, never)
        if self._single:
            return call.only_value()
        call.check()
        return Results(call)


def _callable_name(function: str) -> str:
    if function.startswith("_"):
        raise AttributeError(function)
    return function


def _tell(call: Call) -> None:
    run = call.run
    if run.listens("flk_on_call_started"):
        run.notify(
            "flk_on_call_started", run=run.record, function=call.function, sites=call.targets
        )
    if run.listens("flk_on_site_answered"):

        def answered(site: str, error: str) -> None:
            seconds = run.world.now() - call.started
            run.notify(
                "flk_on_site_answered",
                run=run.record,
                function=call.function,
                site=site,
                error=error,
                seconds=seconds,
            )

        call.on_answer = answered
    if run.listens("flk_on_call_finished"):

        def finished() -> None:
            progress = call.progress
            run.notify(
                "flk_on_call_finished",
                run=run.record,
                function=call.function,
                answered=progress.answered,
                failed=progress.failed,
                seconds=run.world.now() - call.started,
            )

        call.at_close(finished)
