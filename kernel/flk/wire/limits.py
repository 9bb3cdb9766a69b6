"""How much a message may ask for, and a look over its skeleton that finds out before anything is
built.

The skeleton is MessagePack without maps and extensions. msgpack itself would reserve memory for the
lengths that nested arrays claim, so larger skeletons are scanned first; the scan builds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from flk.errors import DecodeError, LimitError

__all__ = ["META_DEPTH", "Limits", "scan"]

META_DEPTH = 16
"""Levels that the plain data of one serializer may add to those of the value."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits of one message, held when encoding and when decoding.

    skeleton_bytes: everything but the buffers.
    nodes: values in it, containers included.
    depth: containers and objects inside one another.
    buffers, buffer_bytes: their number and sum.
    extra_bytes: memory that decoding may allocate beyond one copy of the buffers.
    """

    skeleton_bytes: int = 64 << 20
    nodes: int = 1_000_000
    depth: int = 32
    buffers: int = 100_000
    buffer_bytes: int = 1 << 40
    extra_bytes: int = 64 << 20


def _fixed_sizes() -> list[int]:
    """Bytes of a scalar by its first byte; 0 for what has a length, is an array or is refused."""
    sizes = [1] * 128 + [0] * 96 + [1] * 32
    sizes[0xA0:0xC0] = range(1, 33)
    sizes[0xC0] = sizes[0xC2] = sizes[0xC3] = 1
    sizes[0xCA:0xD4] = [5, 9, 2, 3, 5, 9, 2, 3, 5, 9]
    return sizes


_FIXED = _fixed_sizes()
_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_ARRAY_LENGTH_BYTES = {0xDC: 2, 0xDD: 4}


def scan(data: bytes | memoryview, limits: Limits) -> None:
    """Raise LimitError or DecodeError unless `data` is one value within the limits."""
    position, end, nodes = 0, len(data), 1
    left = 1
    outer: list[int] = []
    deepest = limits.depth + META_DEPTH
    while True:
        while not left:
            if not outer:
                if position != end:
                    raise DecodeError("bytes follow the end of the skeleton or are missing")
                return
            left = outer.pop()
        if position >= end:
            raise DecodeError("the skeleton ends too early")
        left -= 1
        first = data[position]
        size = _FIXED[first]
        if size:
            position += size
            continue
        if first in _LENGTH_BYTES:
            start = position + 1 + _LENGTH_BYTES[first]
            position = start + int.from_bytes(data[position + 1 : start], "big")
            continue
        if 0x90 <= first <= 0x9F:
            count = first & 0x0F
            position += 1
        elif first in _ARRAY_LENGTH_BYTES:
            start = position + 1 + _ARRAY_LENGTH_BYTES[first]
            count = int.from_bytes(data[position + 1 : start], "big")
            position = start
        else:
            raise DecodeError(f"byte 0x{first:02x} does not belong into a skeleton")
        nodes += count
        if nodes > limits.nodes:
            raise LimitError(f"the skeleton holds more than {limits.nodes} nodes")
        if len(outer) >= deepest:
            raise LimitError(f"the skeleton is nested deeper than {limits.depth} levels")
        outer.append(left)
        left = count
