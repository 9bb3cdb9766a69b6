"""The mean in which every site counts the same, however many samples it has."""

from __future__ import annotations

from typing import Any, ClassVar

from flk.calls.trees import Structure, arrays_of, flatten, unflatten
from flk.spi.aggregator import Aggregator
from flk.spi.arrays import Arrays

__all__ = ["AcmeAggregator"]


class AcmeAggregator(Aggregator):
    """Keeps one sum: memory does not grow with the number of sites."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"streaming"})

    def init(self, reference: Any, *, max_norm: float) -> None:
        self._count = 0
        self._structure = Structure(None)
        self._arrays: list[Arrays] = []
        self._dtypes: list[str] = []
        self._sums: list[Any] = []

    def add(self, contribution: Any, weight: float, *, owned: bool = False) -> None:
        if self._count:
            leaves = self._structure.leaves(contribution)
        else:
            leaves, self._structure = flatten(contribution)
            self._arrays = [_arithmetic(leaf) for leaf in leaves]
            pairs = list(zip(self._arrays, leaves, strict=True))
            self._dtypes = [arrays.dtype(leaf) for arrays, leaf in pairs]
            self._sums = [arrays.accumulator(leaf) for arrays, leaf in pairs]
        for arrays, total, leaf in zip(self._arrays, self._sums, leaves, strict=True):
            arrays.axpy(total, leaf, 1.0)
        self._count += 1

    def finish(self) -> Any:
        if not self._count:
            raise ValueError("nothing was added")
        means = []
        for arrays, total, dtype in zip(self._arrays, self._sums, self._dtypes, strict=True):
            arrays.scale(total, 1.0 / self._count)
            if dtype == "bool":  # rounded as integers are, not true as soon as it is above 0
                total = arrays.cast(total, "int32")
            means.append(arrays.cast(total, dtype))
        return unflatten(means, self._structure)


def _arithmetic(leaf: Any) -> Arrays:
    arrays = arrays_of(type(leaf))
    if arrays is None:
        raise TypeError(f"there is no arithmetic for a {type(leaf).__name__}")
    return arrays
