"""What a call gives back: results of a group, a value to be awaited, a stream. Views of a `Call`;
no transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from flk.calls.call import MISSING, Call, Progress
from flk.calls.dispatch import never
from flk.errors import CallError, QuorumError, UsageError

if TYPE_CHECKING:
    from flk.calls.reduction import Reduction
    from flk.spi.aggregator import Aggregator

__all__ = ["AsCompleted", "Pending", "Results", "Stream", "in_coroutine"]

_LIKE_SENT = object()


def in_coroutine() -> bool:
    """Whether the caller runs on an event loop."""
    import sys

    if "asyncio" not in sys.modules:
        return False
    from asyncio import get_running_loop

    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


class Results(Sequence[Any]):
    """The values of a group call in site order; sites that failed are left out and named in
    `failures`.

    Reading finishes a call that is still open. In a coroutine, await it first: `await
    flk.clients.train(w)`.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._checked = not call.detached

    def __iter__(self) -> Iterator[Any]:
        return (value for value in self._finished().values if value is not MISSING)

    def __len__(self) -> int:
        return sum(value is not MISSING for value in self._finished().values)

    @overload
    def __getitem__(self, key: int) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> list[Any]: ...
    @overload
    def __getitem__(self, key: str) -> Any: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        """The value at a position, or that of a site by name."""
        return self.by_site[key] if isinstance(key, str) else list(self)[key]

    @property
    def by_site(self) -> dict[str, Any]:
        """Site to value."""
        call = self._finished()
        return {
            site: value
            for site, value in zip(call.targets, call.values, strict=True)
            if value is not MISSING and site not in call.failures
        }

    @property
    def failures(self) -> dict[str, CallError]:
        """Site to error, of those that failed so far."""
        return self._call.failures_in_order()

    @property
    def progress(self) -> Progress:
        """How many answered and failed; does not wait."""
        return self._call.progress

    @property
    def done(self) -> bool:
        """Whether nothing more will arrive; does not wait."""
        return self._call.closed

    def cancel(self) -> None:
        """Wait for nobody any more. Sites that have not started do not start; the others see
        `flk.context.cancelled`."""
        self._call.cancel()

    def as_completed(self) -> AsCompleted:
        """(site, value) as they arrive, for `for` and `async for`. Values of a call that is still
        open are handed over and not kept."""
        return AsCompleted(self._call)

    def reduce(
        self,
        aggregator: str | Aggregator | type[Aggregator] | Reduction = "mean",
        *,
        like: Any = _LIKE_SENT,
    ) -> Any:
        """All contributions in one value; those the guard refuses join `failures`.

        `like`: a value with the keys, shapes and dtypes that contributions must have; by default
        the first argument of the call, where that holds arrays. On an open call each contribution
        is added as it arrives and freed; in a coroutine such a reduce is awaited. Raises
        QuorumError when fewer than `min_results` (at least one) were accepted.
        """
        from flk.calls.reduction import Reduction

        call = self._call
        if isinstance(aggregator, Reduction):
            reduction = aggregator
        else:
            reduction = Reduction(aggregator, _sent(call) if like is _LIKE_SENT else like)
        if call.closed:
            for site, value in self.by_site.items():
                try:
                    reduction.add(site, value)
                except CallError as error:
                    call.refuse(site, error)
        else:
            call.consume(reduction.add, keeps=reduction.keeps)
            if in_coroutine():
                return self._reduced(reduction)
            call.run.dispatcher.drive(call, never)
        return self._finish(reduction)

    def __await__(self) -> Generator[Any, None, Results]:
        yield from _drive_async(self._call).__await__()
        self._checked = True
        return self

    def __repr__(self) -> str:
        return f"<Results of {self._call.function}: {self._call.progress}>"

    async def _reduced(self, reduction: Reduction) -> Any:
        await self._call.run.dispatcher.drive_async(self._call, never)
        return self._finish(reduction)

    def _finish(self, reduction: Reduction) -> Any:
        call = self._call
        call.check()
        if not reduction.count:
            raise QuorumError(f"no site's {call.function}() can be reduced", failures=call.failures)
        return reduction.finish()

    def _finished(self) -> Call:
        call = self._call
        if not call.closed:
            self._must_not_block()
            call.run.dispatcher.drive(call, never)
        if not self._checked:
            call.check()
            self._checked = True
        return call

    def _must_not_block(self) -> None:
        if in_coroutine():
            raise UsageError(
                f"the results of {self._call.function}() are not here yet",
                cure=f"In a coroutine write: await flk.clients.{self._call.function}(...)",
            )


class AsCompleted:
    """See `Results.as_completed`."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._kept: Iterator[tuple[str, Any]] | None = None
        if call.closed:
            pairs = ((call.targets[index], call.values[index]) for index in list(call.arrived))
            self._kept = (pair for pair in pairs if pair[1] is not MISSING)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self

    def __next__(self) -> tuple[str, Any]:
        if self._kept is not None:
            return next(self._kept)
        call = self._call
        call.run.dispatcher.drive(call, lambda: bool(call.arrived))
        pair = call.take()
        if pair is None:
            call.check()
            raise StopIteration
        return pair

    def __aiter__(self) -> AsyncIterator[tuple[str, Any]]:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        if self._kept is not None:
            for pair in self._kept:
                return pair
            raise StopAsyncIteration
        call = self._call
        await call.run.dispatcher.drive_async(call, lambda: bool(call.arrived))
        taken = call.take()
        if taken is None:
            call.check()
            raise StopAsyncIteration
        return taken


class Pending:
    """The value of a single-site call that is still open: `await` it, or wait with `result()`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def done(self) -> bool:
        """Whether the outcome is known; does not wait."""
        return self._call.closed

    def cancel(self) -> None:
        """Wait for it no more."""
        self._call.cancel()

    def result(self) -> Any:
        """Wait for the value; raises the call's error."""
        call = self._call
        if not call.closed:
            if in_coroutine():
                raise UsageError(f"{call.function}() has not answered yet", cure="Write: await ...")
            call.run.dispatcher.drive(call, never)
        return call.only_value()

    def __await__(self) -> Generator[Any, None, Any]:
        yield from _drive_async(self._call).__await__()
        return self._call.only_value()


class Stream:
    """The items that a generator at a site yields, as they come. Iterate once, with `for` or `async
    for`.

    Each step runs the site's code in the site's context; its error is raised here as CallError.
    """

    def __init__(
        self, step: Callable[[], Any], step_async: Callable[[], Any], close: Callable[[], None]
    ) -> None:
        self._step, self._step_async, self._close = step, step_async, close

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        item = self._step()
        if item is MISSING:
            raise StopIteration
        return item

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        item = await self._step_async()
        if item is MISSING:
            raise StopAsyncIteration
        return item

    def close(self) -> None:
        """Ask for no more items."""
        self._close()


async def _drive_async(call: Call) -> None:
    if not call.closed:
        await call.run.dispatcher.drive_async(call, never)
    if not call.single:
        call.check()


def _sent(call: Call) -> Any:
    """What contributions are expected to look like: the value that was sent, if it holds arrays and
    an answer does, too (an evaluation gets arrays and returns numbers)."""
    from flk.calls.guard import split
    from flk.calls.trees import holds_arrays

    sent = split(call.args[0])[0] if call.args else None
    if sent is None or not holds_arrays(sent):
        return None
    here = [value for value in call.values if value is not MISSING]
    return sent if not here or any(holds_arrays(split(value)[0]) for value in here) else None
