"""How vectors of float64 travel: their length beside their memory, which is not copied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from flk.errors import DecodeError
from flk.spi.serializer import BufferSink, BufferSource, Serializer

__all__ = ["AcmeSerializer", "Vector"]


class Vector:
    """A row of float64 in memory of its own, or in memory that it is given."""

    def __init__(self, values: Iterable[float] | memoryview) -> None:
        if not isinstance(values, memoryview):
            numbers = list(values)
            memory = memoryview(bytearray(8 * len(numbers)))
            for place, number in enumerate(numbers):
                memory.cast("d")[place] = number
            values = memory
        self.memory = values.cast("B").cast("d")

    def tolist(self) -> list[float]:
        return [float(value) for value in self.memory]


class AcmeSerializer(Serializer):
    """Assumes little-endian machines on both sides, as nearly all are."""

    types: ClassVar[Mapping[type, str]] = {Vector: "flk_role_acme.vector/1"}

    def encode(self, obj: Any, sink: BufferSink) -> Any:
        return [sink.add(obj.memory), len(obj.memory)]

    def decode(self, name: str, meta: Any, source: BufferSource) -> Any:
        if name not in self.types.values():
            raise DecodeError(f"{name!r} is not a vector")
        match meta:
            case [int(number), int(length)] if type(number) is type(length) is int:
                memory = source.get(number)
            case _:
                raise DecodeError("a vector is not [buffer, length]")
        if memory.nbytes != 8 * length:
            raise DecodeError(f"a vector of {length} has {memory.nbytes} bytes")
        return Vector(memory)
