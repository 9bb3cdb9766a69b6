"""Arrays in pure Python, so that what is built on the contract of arrays can be tested without an
array library. Slow, and exact about dtypes, NaN and overflow.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from unittest import mock

from flk.errors import DecodeError
from flk.spi.arrays import Arrays
from flk.spi.serializer import BufferSink, BufferSource, Serializer

__all__ = ["FakeArray", "FakeArrays", "FakeSerializer", "fake_arrays"]

_CODES = {"float16": "e", "float32": "f", "float64": "d", "int32": "i", "int64": "q", "bool": "?"}
_SUMS = {"float16": "float32", "float32": "float32"}


class FakeArray:
    """Numbers of one dtype in one piece of memory, which `view` shares."""

    def __init__(
        self, values: Iterable[Any], dtype: str = "float32", shape: tuple[int, ...] | None = None
    ) -> None:
        self.dtype = dtype
        self.data = memoryview(bytearray(_packed(values, dtype)))
        size = len(self.data) // struct.calcsize(_CODES[dtype])
        self.shape = (size,) if shape is None else shape
        assert math.prod(self.shape) == size

    def view(self) -> FakeArray:
        """Another array in the same memory."""
        other = FakeArray.__new__(type(self))
        other.dtype, other.data, other.shape = self.dtype, self.data, self.shape
        return other

    def tolist(self) -> list[Any]:
        code = _CODES[self.dtype]
        size = struct.calcsize(code)
        return list(struct.unpack(f"={len(self.data) // size}{code}", self.data))

    def set(self, values: Iterable[Any]) -> None:
        self.data[:] = _packed(values, self.dtype)

    def __repr__(self) -> str:
        return f"FakeArray({self.tolist()}, {self.dtype!r}, {self.shape})"


def _packed(values: Iterable[Any], dtype: str) -> bytes:
    code = _CODES[dtype]
    return b"".join(_pack(code, value) for value in values)


def _pack(code: str, value: Any) -> bytes:
    try:
        return struct.pack(f"={code}", value)
    except OverflowError:  # a float too large for the type
        return struct.pack(f"={code}", math.copysign(math.inf, value))


class FakeArrays(Arrays):
    """The arithmetic of FakeArray."""

    types = (FakeArray,)

    def shape(self, x: Any) -> tuple[int, ...]:
        return tuple(x.shape)

    def dtype(self, x: Any) -> str:
        return str(x.dtype)

    def nbytes(self, x: Any) -> int:
        return len(x.data)

    def is_float(self, x: Any) -> bool:
        return str(x.dtype).startswith("float")

    def copy(self, x: Any) -> Any:
        return FakeArray(x.tolist(), x.dtype, x.shape)

    def finite(self, x: Any) -> bool:
        return all(math.isfinite(value) for value in x.tolist())

    def norm2(self, x: Any) -> float:
        return sum((float(v) * float(v) for v in x.tolist()), 0.0)

    def cast(self, x: Any, dtype: str) -> Any:
        if dtype == x.dtype:
            return x
        values: Iterator[Any] = iter(x.tolist())
        if not dtype.startswith("float"):
            values = map(round, values)
        return FakeArray(map(bool, values) if dtype == "bool" else values, dtype, x.shape)

    def accumulator(self, x: Any) -> Any:
        zeros = [0.0] * math.prod(x.shape)
        return FakeArray(zeros, _SUMS.get(x.dtype, "float64"), x.shape)

    def axpy(self, acc: Any, x: Any, alpha: float) -> None:
        acc.set(a + alpha * v for a, v in zip(acc.tolist(), x.tolist(), strict=True))

    def absorb(self, acc: Any, x: Any, alpha: float) -> tuple[Any, float]:
        norm2 = self.norm2(x)
        x.set(a + alpha * v for a, v in zip(acc.tolist(), x.tolist(), strict=True))
        return x, norm2

    def can_absorb(self, acc: Any, x: Any) -> bool:
        return bool(acc.dtype == x.dtype and acc.shape == x.shape)

    def memory(self, x: Any) -> tuple[str, int, int] | None:
        start = id(x.data.obj)
        return "cpu", start, start + len(x.data)

    def scale(self, x: Any, alpha: float) -> None:
        x.set(value * alpha for value in x.tolist())

    def add_modulo(self, x: Any, y: Any, bits: int) -> Any:
        sums = [(a + b) % (1 << bits) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        return FakeArray(sums, x.dtype, x.shape)


class FakeSerializer(Serializer):
    """How a FakeArray travels."""

    types = MappingProxyType({FakeArray: "fake.Array/1"})

    def encode(self, obj: Any, sink: BufferSink) -> Any:
        return [obj.dtype, list(obj.shape), sink.add(obj.data)]

    def decode(self, name: str, meta: Any, source: BufferSource) -> Any:
        dtype, shape, number = meta
        data = source.get(number)
        if len(data) != math.prod(shape) * struct.calcsize(_CODES[dtype]):
            raise DecodeError("a fake array and its memory differ in size")
        array = FakeArray.__new__(FakeArray)
        array.dtype, array.data, array.shape = dtype, data, tuple(shape)
        return array


@contextmanager
def fake_arrays() -> Iterator[None]:
    """Inside, FakeArray is a family of arrays as if a plugin had registered it."""
    from flk.calls import trees
    from flk.registry import families

    real = families.family

    def family(role: str, cls: type) -> Any | None:
        if issubclass(cls, FakeArray):
            return FakeArrays() if role == "arrays" else None
        return real(role, cls)  # type: ignore[arg-type]

    clear = trees.arrays_of.cache_clear, trees._copier.cache_clear  # type: ignore[attr-defined]
    with mock.patch.object(families, "family", family):
        for forget in clear:
            forget()
        yield
    for forget in clear:
        forget()
