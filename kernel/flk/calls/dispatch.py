"""The one seam between the collaborative API and a transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from flk.calls.call import Call
from flk.errors import CallError

__all__ = ["Dispatcher", "never"]


def never() -> bool:
    """What is `enough` for who waits for the end of the call."""
    return False


class Dispatcher(ABC):
    """Carries calls to participants and tells their outcomes to the `Call`.

    `args` and `kwargs` of a call are frozen until it is closed, and what a callee gets is its own.
    A name that is not exported is refused before the arguments are touched. `LocalDispatcher` calls
    directly; one over cells sends.
    """

    @abstractmethod
    def sites(self) -> tuple[str, ...]:
        """The client sites that are present, in a stable order."""

    @abstractmethod
    def start(self, call: Call) -> None:
        """Take a call; may do its work here or leave it to `drive`."""

    @abstractmethod
    def drive(self, call: Call, enough: Callable[[], bool]) -> None:
        """From synchronous code: return as soon as `enough()` or the call is closed. Raises
        RunAborted."""

    @abstractmethod
    async def drive_async(self, call: Call, enough: Callable[[], bool]) -> None:
        """The same from a coroutine on the world's loop."""

    @abstractmethod
    def everywhere(self, phase: str, names: Iterable[str]) -> dict[str, CallError]:
        """Run what is marked `init` or `final` at the named participants; errors by name. One whose
        `init` failed is lost: calls to it raise SiteLost, and its `final` does not run."""

    @abstractmethod
    def drain(self) -> None:
        """The algorithm returned: see to it that what was sent and forgotten is done by the return
        of this."""

    @abstractmethod
    def close(self) -> None:
        """Release what the dispatcher holds. Idempotent."""

    @abstractmethod
    def wake(self) -> None:
        """The run was aborted: calls that wait look again."""
