"""Contract of the role *serializer*: objects of foreign types to plain data plus buffers, and back.

A plugin is registered under the name of the top-level Python package whose types it handles
(`numpy`, `torch`, or `acme` for `acme.Ciphertext`). On the wire a type is a name from the
serializer's own name space, `numpy.ndarray/1`: package, type, version of the layout. Nothing
received causes an import.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar, Protocol

__all__ = ["BufferSink", "BufferSource", "Serializer"]


class BufferSink(Protocol):
    """Where a serializer leaves memory that shall travel uncopied."""

    def add(self, data: Any, *, key: Hashable | None = None) -> int:
        """Take a C-contiguous object with the buffer protocol and return its number in the message.

        The memory must stay unchanged until the message was sent. A `key` that was given before in
        this message returns the earlier number and adds nothing: shared storage travels once.
        """


class BufferSource(Protocol):
    """Where a serializer finds the memory again."""

    def get(self, number: int) -> memoryview:
        """Buffer `number` of this message as bytes. Writable if the receiver owns the memory; the
        object returned by `decode` may keep it. Raises DecodeError for a number that is not
        there."""

    @property
    def shared(self) -> dict[Hashable, Any]:
        """Empty at the start of a message; lets objects that shared something at the sender share
        it again."""

    def claim(self, nbytes: int) -> None:
        """Ask before allocating `nbytes` beyond the buffers (a broadcast, a sparse index). Raises
        LimitError."""


class Serializer(ABC):
    """Stateless. Called from any thread, by many at once; may not block or do I/O.

    `encode` raises EncodeError for an instance it cannot carry (an array of Python objects);
    `decode` raises DecodeError unless meta and buffers fit exactly (`nbytes == product(shape) *
    itemsize`) and never trusts them: no pickle, no eval, no import, no allocation before the sizes
    were checked.
    """

    types: ClassVar[Mapping[type, str]]
    """Class to wire name. A subclass is encoded under the name of the nearest base that is
    listed."""

    @abstractmethod
    def encode(self, obj: Any, sink: BufferSink) -> Any:
        """Leave the memory of `obj` in `sink`, copying only what is not contiguous, and return the
        rest as plain data: None, bool, int (64 bit), float, str, bytes and lists of these."""

    def encode_all(self, objs: list[Any], sink: BufferSink) -> list[Any]:
        """`encode` for all objects of one message, in order: the kernel calls only this. Override
        it where objects that overlap in memory should travel once."""
        return [self.encode(obj, sink) for obj in objs]

    @abstractmethod
    def decode(self, name: str, meta: Any, source: BufferSource) -> Any:
        """The object again, around the memory of `source` without a copy. `name` is one of the
        values of `types`."""
