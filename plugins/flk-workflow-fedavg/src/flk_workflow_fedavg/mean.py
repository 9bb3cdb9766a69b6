"""The weighted mean of McMahan et al. 2017, `sum(w_i * x_i) / sum(w_i)`, taken as contributions
arrive. It checks elements while it sums; keys, shapes and dtypes are the guard's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from flk.calls.trees import Structure, arrays_of, flatten, unflatten
from flk.errors import ContributionRefused, described
from flk.spi.aggregator import Aggregator
from flk.spi.arrays import Arrays

__all__ = ["Mean"]

_BULK = 1 << 16
"""Bytes from which a leaf is summed in the contribution's own memory; a smaller one is still in the
cache when it is read a second time."""
_SPARE = 2.0**16
_HUGE = 1e300
_ROUNDING = 1.01
"""How far the squared norm of a mean may exceed that of every contribution: rounding, no more."""


class Mean(Aggregator):
    """Keeps one sum, whatever the number of contributions.

    Integers and booleans are summed in float64 and rounded half to even at the end; Python's
    numbers become floats. Weights are divided by a power of two, chosen so that the sum of finite
    contributions is finite in the type it is kept in. The result has the keys of the reference,
    where there is one, whatever equal keys (1 and True) a contribution uses.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"streaming", "mergeable", "checks"})

    def __init__(self) -> None:
        self._limit = self._room = math.inf
        self._reference: tuple[Structure, list[Arrays]] | None = None
        self._structure = Structure(None)
        self._arrays: list[Arrays] = []
        self._norms: list[Callable[[Any], float]] = []
        self._axpys: list[Callable[[Any, Any, float], None]] = []
        self._dtypes: list[str] = []
        self._sums: list[Any] = []
        self._small = False
        self._unit = 1.0
        self._weight = 0.0  # while it is 0 nothing was added, whatever else is set

    def init(self, reference: Any, *, max_norm: float) -> None:
        self._limit = max_norm * max_norm
        self._room = max(1.0, min(2.0**60, 1e38 / max_norm))
        if reference is not None:
            leaves, structure = flatten(reference)
            self._reference = structure, [_arithmetic(leaf) for leaf in leaves]

    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        if self._weight:
            leaves = self._structure.leaves(contribution)
            if self._small and self._add_small(leaves[0], weight):
                return
        elif self._reference is None:
            leaves, structure = flatten(contribution)
            self._begin(leaves, structure, list(map(_arithmetic, leaves)), None, weight)
        else:
            structure, arrays = self._reference
            leaves = structure.leaves(contribution)
            self._begin(leaves, structure, arrays, None, weight)
        self._add(leaves, weight, owned)

    def partial(self) -> dict[str, Any]:
        """The mean so far in the types that sums are kept in, its weight, and the dtypes of the
        contributions. A snapshot: it shares no memory with the sum."""
        self._must_have_begun()
        means = []
        for arrays, acc in zip(self._arrays, self._sums, strict=True):
            mean = arrays.copy(acc)
            arrays.scale(mean, self._unit / self._weight)
            means.append(arrays.cast(mean, arrays.dtype(mean)))
        tree = unflatten(means, self._structure)
        return {"mean": tree, "weight": self._weight, "dtypes": list(self._dtypes)}

    def merge(self, partial: Any) -> None:
        """Raises ContributionRefused for what is not a partial of contributions like ours."""
        try:
            mean, weight, dtypes = partial["mean"], partial["weight"], partial["dtypes"]
        except (TypeError, LookupError):
            raise _refused("type", "a partial mean should have mean, weight and dtypes") from None
        if type(weight) is not float or not 0.0 < weight < _HUGE:
            raise _refused("weight", "the weight of a partial mean should be a number above 0")
        if type(dtypes) is not list or not all(type(name) is str for name in dtypes):
            raise _refused("dtype", "the dtypes of a partial mean should be a list of names")
        try:
            if self._weight:
                leaves = self._structure.leaves(mean)
                self._compare(leaves, dtypes)
            else:
                leaves, structure = flatten(mean)
                if self._reference is not None:
                    structure = self._reference[0]
                    leaves = list(structure.leaves(mean))
                self._begin(leaves, structure, list(map(_arithmetic, leaves)), dtypes, weight)
        except TypeError as error:
            raise _refused("type", f"in a partial mean, {error}") from None
        except ValueError as error:
            raise _refused("keys", f"in a partial mean, {error}") from None
        self._add(leaves, weight, False)

    def finish(self) -> Any:
        """Raises ContributionRefused if the mean is not finite or too large, though no contribution
        was: somebody wrote into one between the look at it and its sum."""
        self._must_have_begun()
        factor, sums = self._unit / self._weight, self._sums
        self._weight, self._sums = 0.0, []
        for number, (arrays, dtype) in enumerate(zip(self._arrays, self._dtypes, strict=True)):
            arrays.scale(sums[number], factor)
            if dtype == "bool":
                sums[number] = arrays.cast(sums[number], "int32")
            sums[number] = arrays.cast(sums[number], dtype)
        norm2 = sum((arrays.norm2(x) for arrays, x in zip(self._arrays, sums, strict=True)), 0.0)
        if self._limit != math.inf and not norm2 <= self._limit * _ROUNDING:
            raise _refused("not_finite", "a contribution was changed while it was added")
        return unflatten(sums, self._structure)

    def _must_have_begun(self) -> None:
        if not self._weight:
            raise ValueError("nothing was added to this mean")

    def _begin(
        self,
        leaves: Sequence[Any],
        structure: Structure,
        arrays: list[Arrays],
        dtypes: list[str] | None,
        weight: float,
    ) -> None:
        self._structure = structure
        self._arrays = arrays
        self._norms = [arrays.norm2 for arrays in self._arrays]
        self._axpys = [arrays.axpy for arrays in self._arrays]
        if dtypes is None:
            dtypes = [a.dtype(leaf) for a, leaf in zip(self._arrays, leaves, strict=True)]
        self._small = len(leaves) == 1 and self._arrays[0].nbytes(leaves[0]) < _BULK
        if len(dtypes) != len(leaves):
            raise ValueError(f"there are {len(leaves)} leaves and {len(dtypes)} dtypes")
        self._dtypes = dtypes
        self._sums = []
        self._unit = weight  # equal weights, the usual case, then need no multiplication

    def _compare(self, leaves: Sequence[Any], dtypes: list[str]) -> None:
        if dtypes != self._dtypes:
            raise ValueError("the dtypes differ from those here")
        for arrays, acc, leaf in zip(self._arrays, self._sums, leaves, strict=True):
            if type(_arithmetic(leaf)) is not type(arrays):
                raise TypeError(f"an array should not be a {type(leaf).__name__}")
            if (arrays.shape(leaf), arrays.dtype(leaf)) != (arrays.shape(acc), arrays.dtype(acc)):
                raise ValueError("shapes or dtypes differ from those of the sums here")

    def _add_small(self, leaf: Any, weight: float) -> bool:
        """The shortest way for a model of one small array; False if it needs the long one."""
        total = self._weight + weight
        try:
            if total > self._unit * self._room or not self._norms[0](leaf) <= self._limit:
                return False
        except Exception:
            return False
        self._axpys[0](self._sums[0], leaf, weight / self._unit)
        self._weight = total
        return True

    def _add(self, leaves: Sequence[Any], weight: float, owned: bool) -> None:
        total = self._weight + weight
        crowded = total > self._unit * self._room
        if owned and not crowded and (own := self._writable(leaves)):
            self._sums = self._absorbed(leaves, own, weight / self._unit)
        else:
            if self._limit != math.inf:
                self._check(leaves)
            if not self._weight:
                self._sums = list(map(self._zeros, range(len(leaves)), leaves))
            if crowded:
                self._rescale(total)
            alpha = weight / self._unit
            for axpy, acc, leaf in zip(self._axpys, self._sums, leaves, strict=True):
                axpy(acc, leaf, alpha)
        self._weight = total

    def _zeros(self, number: int, leaf: Any) -> Any:
        try:
            return self._arrays[number].accumulator(leaf)
        except TypeError as error:
            path = self._structure.paths()[number]
            raise _refused("type", f"{path} cannot be summed: {described(error)}") from error

    def _check(self, leaves: Sequence[Any]) -> None:
        norm2 = sum(map(self._norm2, range(len(leaves)), leaves), 0.0)
        if not norm2 <= self._limit:
            raise self._refusal(norm2, range(len(leaves)), leaves)

    def _norm2(self, number: int, leaf: Any) -> float:
        try:
            return self._norms[number](leaf)
        except Exception as error:  # of what has no elements, or none that are numbers
            path = self._structure.paths()[number]
            raise _refused("type", f"{path} cannot be summed: {described(error)}") from error

    def _refusal(
        self, norm2: float, numbers: Sequence[int], leaves: Sequence[Any]
    ) -> ContributionRefused:
        for number in () if math.isfinite(norm2) else numbers:
            if not self._arrays[number].finite(leaves[number]):
                path = self._structure.paths()[number]
                return _refused("not_finite", f"{path} has elements that are NaN or infinite")
        most, norm = math.sqrt(self._limit), math.sqrt(norm2)
        return _refused("huge", f"the L2 norm should be at most {most:g} and is {norm:g}")

    def _absorbed(self, leaves: Sequence[Any], own: set[int], alpha: float) -> list[Any]:
        """New sums, those of `own` in the contribution's memory. The old ones stay as they are
        until nothing can be refused any more."""
        rest = [number for number in range(len(leaves)) if number not in own]
        norm2 = sum((self._norm2(number, leaves[number]) for number in rest), 0.0)
        if not norm2 <= self._limit:
            raise self._refusal(norm2, rest, leaves)
        sums = list(self._sums) if self._weight else [None] * len(leaves)
        for number in sorted(own):
            arrays, leaf = self._arrays[number], leaves[number]
            acc = arrays.accumulator(leaf) if sums[number] is None else sums[number]
            if arrays.can_absorb(acc, leaf):
                sums[number], more = arrays.absorb(acc, leaf, alpha)
            else:
                more = self._norm2(number, leaf)
                rest.append(number)
            norm2 += more
            if not norm2 <= self._limit:
                raise self._refusal(norm2, [number], leaves)
        for number in rest:
            arrays, leaf = self._arrays[number], leaves[number]
            if sums[number] is None:
                sums[number] = arrays.accumulator(leaf)
            arrays.axpy(sums[number], leaf, alpha)
        return sums

    def _writable(self, leaves: Sequence[Any]) -> set[int]:
        """The large leaves that may be written into, since no other leaf shares their memory. None
        while checks are off, as only `absorb` with a norm that is acceptable gives a sum."""
        own: set[int] = set()
        if self._limit == math.inf:
            return own
        places = []
        for number, (arrays, leaf) in enumerate(zip(self._arrays, leaves, strict=True)):
            if arrays.nbytes(leaf) >= _BULK:
                own.add(number)
        if len(leaves) == 1 or not own:
            return own
        for number, (arrays, leaf) in enumerate(zip(self._arrays, leaves, strict=True)):
            place = arrays.memory(leaf)
            if place is None:
                return set()
            places.append((*place, number))
        space, reach, last = "", 0, -1
        for here, start, stop, number in sorted(places):
            if here == space and start < reach:
                own -= {number, last}
            if here != space or stop > reach:
                space, reach, last = here, stop, number
        return own

    def _rescale(self, total: float) -> None:
        """Make room for a sum of weights that has outgrown its unit."""
        unit = _power_of_two(total) * _SPARE
        for arrays, acc in zip(self._arrays, self._sums, strict=True):
            arrays.scale(acc, self._unit / unit)
        self._unit = unit


def _arithmetic(leaf: Any) -> Arrays:
    arrays = arrays_of(type(leaf))
    if arrays is None:
        raise TypeError(f"an array or a number should not be a {type(leaf).__name__}")
    return arrays


def _power_of_two(weight: float) -> float:
    """The smallest power of two that is not below `weight`."""
    fraction, exponent = math.frexp(weight)
    return math.ldexp(1.0, exponent - (fraction == 0.5))


def _refused(reason: str, what: str) -> ContributionRefused:
    return ContributionRefused(what, reason=reason)
