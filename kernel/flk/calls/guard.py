"""The guard: what must hold of a contribution before it enters an aggregation. It compares with
what was declared; it repairs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Number, Real
from typing import Any

from flk.calls.trees import arrays_of, flatten
from flk.errors import ContributionRefused, described
from flk.model import FLModel
from flk.spi.arrays import Arrays

__all__ = ["Guard", "split"]


def split(value: Any) -> tuple[Any, Any]:
    """The tree and the weight of a contribution: a pair of a tree and a number, an FLModel
    (`params`, `meta["weight"]`), or a tree alone, whose weight is 1. The weight is not checked."""
    tree, weight, _ = _parts(value)
    return tree, weight


def _parts(value: Any) -> tuple[Any, Any, FLModel | None]:
    """Tree, weight, and the FLModel that it came in, if any."""
    weight: Any = 1.0
    if type(value) is tuple and len(value) == 2:
        number = value[1]
        if type(number) in _PLAIN or isinstance(number, Number):
            value, weight = value
    elif isinstance(value, FLModel) and isinstance(value.meta, dict):
        weight = value.meta.get("weight", 1.0)
    if isinstance(value, FLModel):
        return value.params, weight, value
    return value, weight, None


class Guard:
    """Admits contributions to one aggregation, or refuses them with ContributionRefused.

    reference: a tree, or an FLModel around one, with the keys, shapes and dtypes that are expected;
        without it the first contribution that is admitted sets them. TypeError or ValueError if it
        is none.
    finite: whether NaN and infinity are refused; `max_norm` (L2, over all leaves) only holds if so.
    max_weight: a weight is a number above 0 and at most this.
    round, staleness: an FLModel that names a round must name one of `round - staleness .. round`.

    Reasons: `type, keys, shape, dtype, not_finite, huge, weight, stale, duplicate`.
    """

    def __init__(
        self,
        reference: Any = None,
        *,
        finite: bool = True,
        max_norm: float = 1e18,
        max_weight: float = 1e12,
        round: int | None = None,
        staleness: int = 0,
    ) -> None:
        self.max_norm = max_norm if finite else math.inf
        self.max_weight = max_weight
        self.round = round
        self.staleness = staleness
        self._seen: set[str] = set()
        tree = reference.params if isinstance(reference, FLModel) else reference
        self._schema = None if tree is None else _Schema(tree)

    def admit(self, site: str, value: Any) -> tuple[Any, float]:
        """Check a contribution and count its site as heard: (tree, weight)."""
        tree, weight, _, schema = self.check(site, value)
        self.heard(site, schema)
        return tree, weight

    def check(
        self, site: str, value: Any, *, norms: bool = True
    ) -> tuple[Any, float, FLModel | None, _Schema]:
        """Check without counting the site: (tree, weight, the FLModel if it is one, what `heard`
        wants to know). Without `norms` elements are not looked at, because the aggregator will."""
        try:
            if site in self._seen:
                raise _refused("duplicate", "the site contributed already")
            tree, weight, model = _parts(value)
            if model is not None and self.round is not None:
                self._check_round(model.current_round, self.round)
            if type(weight) in _PLAIN and 0 < weight <= self.max_weight:
                weight = float(weight)
            else:
                weight = self._weight(weight)
            schema = self._declared(tree) if self._schema is None else self._schema
            leaves = schema.check(tree)
            if norms and self.max_norm != math.inf:
                schema.check_norms(leaves, self.max_norm)
            return tree, weight, model, schema
        except ContributionRefused as refusal:
            raise of_site(site, refusal) from refusal.__cause__
        except Exception as error:  # of the objects that the site sent
            raise of_site(site, unreadable(error)) from error

    def heard(self, site: str, schema: _Schema) -> None:
        """The contribution that was checked has been added."""
        self._seen.add(site)
        self._schema = schema

    def _declared(self, tree: Any) -> _Schema:
        try:
            return _Schema(tree)
        except TypeError as error:
            raise _refused("type", str(error)) from None
        except ValueError as error:
            raise _refused("keys", str(error)) from None

    def _weight(self, weight: Any) -> float:
        number = math.nan
        if isinstance(weight, Real) and not isinstance(weight, bool):
            number = as_float(weight)
            if 0.0 < number <= self.max_weight:
                return number
        shown = f"{number:g}" if isinstance(weight, Number) else type(weight).__name__
        raise _refused(
            "weight",
            f"the weight should be a number above 0 and at most {self.max_weight:g} and is {shown}",
        )

    def _check_round(self, number: int | None, now: int) -> None:
        if number is None:
            return
        if type(number) is not int or not now - self.staleness <= number <= now:
            expected = f"{now - self.staleness} to {now}" if self.staleness else f"{now}"
            shown = f"{number:d}" if type(number) is int and abs(number) < 10**9 else "none of ours"
            raise _refused("stale", f"the round should be {expected} and is {shown}")


class _Schema:
    """Keys, shapes and dtypes of a tree, laid out for quick comparison."""

    __slots__ = ("_leaves", "_structure")

    def __init__(self, tree: Any) -> None:
        """Raises TypeError or ValueError for what is not a tree."""
        leaves, self._structure = flatten(tree)
        self._leaves = list(enumerate(map(_expected, leaves)))

    def check(self, tree: Any) -> Sequence[Any]:
        """The leaves of a tree that fits."""
        try:
            leaves = self._structure.leaves(tree)
        except ValueError as error:
            raise _refused("keys", str(error)) from None
        for number, (cls, _, shape_of, shape, dtype_of, dtype) in self._leaves:
            leaf = leaves[number]
            if type(leaf) is not cls or shape_of(leaf) != shape or dtype_of(leaf) != dtype:
                self._compare(number, leaf)
        return leaves

    def check_norms(self, leaves: Sequence[Any], max_norm: float) -> None:
        total, limit = 0.0, max_norm * max_norm
        for number, (_, arrays, *_) in self._leaves:
            total += arrays.norm2(leaves[number])
        if total <= limit:
            return
        for number, (_, arrays, *_) in self._leaves:
            if not arrays.finite(leaves[number]):
                path = self._structure.paths()[number]
                raise _refused("not_finite", f"{path} has elements that are NaN or infinite")
        norm = math.sqrt(total)
        raise _refused("huge", f"the L2 norm should be at most {max_norm:g} and is {norm:g}")

    def _compare(self, number: int, leaf: Any) -> None:
        """Refuse a leaf that differs from what is expected in more than a class of one family."""
        cls, arrays, _, shape, _, dtype = self._leaves[number][1]
        path = self._structure.paths()[number]
        found = arrays_of(type(leaf))
        if found is None or not _is_plain(leaf, found):
            container = isinstance(leaf, (dict, list, tuple))
            raise _refused(
                "keys" if container else "type",
                f"{path} should be {_WANTED} and is a {type(leaf).__name__}",
            )
        got_shape, got_dtype = found.shape(leaf), found.dtype(leaf)
        if dtype == "number" and isinstance(leaf, (int, float)):
            return
        if got_shape != shape:
            raise _refused("shape", f"{path} should have shape {shape} and has {got_shape}")
        if got_dtype != dtype:
            raise _refused("dtype", f"{path} should have dtype {dtype} and has {got_dtype}")
        if type(found) is not type(arrays):
            raise _refused(
                "type", f"{path} should be a {cls.__name__} and is a {type(leaf).__name__}"
            )


_Expected = tuple[
    type, Arrays, Callable[[Any], tuple[int, ...]], tuple[int, ...], Callable[[Any], str], str
]


_PLAIN = (int, float)
_WANTED = "an array or a number"


def _expected(leaf: Any) -> _Expected:
    arrays = arrays_of(type(leaf))
    assert arrays is not None  # flatten lets nothing else pass
    if not _is_plain(leaf, arrays):
        raise TypeError(f"a leaf should be {_WANTED} and is a {type(leaf).__name__}")
    return type(leaf), arrays, arrays.shape, arrays.shape(leaf), arrays.dtype, arrays.dtype(leaf)


def _is_plain(leaf: Any, arrays: Arrays) -> bool:
    """Whether the leaf's class is one that its arithmetic lists. A subclass may mean something else
    by its elements (a mask), or by arithmetic."""
    return type(leaf) in arrays.types


def as_float(number: Any) -> float:
    """A real number as a float; infinity where that has no room."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _refused(reason: str, what: str) -> ContributionRefused:
    return ContributionRefused(what, reason=reason)


def unreadable(error: Exception) -> ContributionRefused:
    """The refusal of what raises when it is looked at."""
    return _refused("type", f"it cannot be read: {described(error)[:200]}")


def of_site(site: str, refusal: ContributionRefused) -> ContributionRefused:
    """The same refusal with the name of the site."""
    what = f"the contribution of {site} was refused: {refusal.what}"
    return ContributionRefused(what, reason=refusal.reason, site=site)
