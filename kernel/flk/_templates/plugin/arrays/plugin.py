"""Arithmetic on tables of numbers in plain Python: a model of the contract, not of speed. A plugin
for a library calls that library's own operations."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from flk.spi.arrays import Arrays

__all__ = ["AcmeArrays", "Table"]

CODES: dict[str, Any] = {
    "float32": "f",
    "float64": "d",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "bool": "?",
}


class Table:
    """Numbers of one dtype, row by row in one piece of memory."""

    def __init__(self, numbers: Iterable[Any], shape: tuple[int, ...], dtype: str) -> None:
        size = math.prod(shape) * struct.calcsize(CODES[dtype])
        self.shape, self.dtype = shape, dtype
        self.memory: Any = memoryview(bytearray(size)).cast(CODES[dtype])
        for place, number in enumerate(numbers):
            self.memory[place] = number

    def __iter__(self) -> Iterator[Any]:
        return iter(self.memory)


class AcmeArrays(Arrays):
    types: ClassVar[tuple[type, ...]] = (Table,)

    def shape(self, x: Any) -> tuple[int, ...]:
        return tuple(x.shape)

    def dtype(self, x: Any) -> str:
        return str(x.dtype)

    def nbytes(self, x: Any) -> int:
        return int(x.memory.nbytes)

    def is_float(self, x: Any) -> bool:
        return str(x.dtype).startswith("float")

    def copy(self, x: Any) -> Any:
        return type(x)(x, x.shape, x.dtype)

    def finite(self, x: Any) -> bool:
        return all(map(math.isfinite, x))

    def norm2(self, x: Any) -> float:
        return float(sum(number * number for number in x))

    def cast(self, x: Any, dtype: str) -> Any:
        if dtype == x.dtype:
            return x
        return type(x)(map(_converter(dtype), x), x.shape, dtype)

    def accumulator(self, x: Any) -> Any:
        return Table((), x.shape, x.dtype if self.is_float(x) else "float64")

    def axpy(self, acc: Any, x: Any, alpha: float) -> None:
        for place, number in enumerate(x):
            acc.memory[place] += alpha * number

    def absorb(self, acc: Any, x: Any, alpha: float) -> tuple[Any, float]:
        norm2 = 0.0
        for place, number in enumerate(x):
            norm2 += number * number
            x.memory[place] = acc.memory[place] + alpha * number
        return x, norm2

    def can_absorb(self, acc: Any, x: Any) -> bool:
        return (acc.shape, acc.dtype) == (x.shape, x.dtype) and not x.memory.readonly

    def scale(self, x: Any, alpha: float) -> None:
        for place, number in enumerate(x):
            x.memory[place] = alpha * number

    def add_modulo(self, x: Any, y: Any, bits: int) -> Any:
        sums = (a + b & (1 << bits) - 1 for a, b in zip(x, y, strict=True))
        return type(x)(sums, x.shape, x.dtype)


def _converter(dtype: str) -> Callable[[Any], Any]:
    if dtype == "bool":
        return bool
    return float if dtype.startswith("float") else round
