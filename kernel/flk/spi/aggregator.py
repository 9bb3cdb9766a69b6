"""Contract of the role *aggregator*: many contributions to one value, at the server or on any tier
below it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

__all__ = ["Aggregator"]


class Aggregator(ABC):
    """One aggregation. Used by one thread at a time; a new instance serves each aggregation; may
    not block.

    Life: `init`, then any number of `add` and `merge` in any order, then `finish` once. The guard
    of the kernel stands before `add`: keys, shapes, dtypes and weight are right, `weight` is a
    finite float > 0.

    `capabilities` says what more it does:
    * `streaming`: keeps no contribution; its memory does not grow with their number.
    * `mergeable`: has partials (`partial`, `merge`), so that it can run in workers and on the tiers
      of a tree.
    * `needs_all`: sees all contributions only in `finish` (median). Not together with `streaming`.
    * `staged`: needs more than one exchange with the sites (secure sums).
    * `checks`: refuses values that are not finite or whose norm exceeds `max_norm` itself while it
      adds (ContributionRefused, with its state as before), so that the guard does not read them a
      second time.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def init(self, reference: Any, *, max_norm: float) -> None:
        """Begin. `reference` is the value that the sites started from, or None; it is not changed
        or kept longer than the aggregation. `max_norm`: upper limit of a contribution's L2 norm,
        for those that have `checks`; `math.inf` turns their checks off."""

    @abstractmethod
    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        """Take one contribution: nested dicts, lists and tuples of arrays and numbers. With `owned`
        its arrays belong to the aggregator, which may overwrite and keep them; else they are not
        changed and not kept after the call, unless the aggregator `needs_all`."""

    def partial(self) -> Any:
        """What was added so far, as a value that the serializers can carry. Only for
        `mergeable`."""
        raise NotImplementedError

    def merge(self, partial: Any) -> None:
        """Take another instance's `partial`, as if its contributions had been added here. Only for
        `mergeable`."""
        raise NotImplementedError

    @abstractmethod
    def finish(self) -> Any:
        """The result, in the structure and dtypes of the contributions. Raises ValueError if
        nothing was added."""
