"""A skeleton and its buffers in one piece, for files: all lengths first, buffers at multiples of 64
bytes, so that they can be used where they lie.

    magic and version, bytes of the skeleton, number of buffers, bytes of each buffer (8 each);
    the skeleton; the buffers, each behind zeros up to a multiple of 64. Little-endian.

It has no digest: whoever stores it keeps one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from flk.errors import DecodeError, LimitError
from flk.wire.limits import Limits
from flk.wire.objects import Encoded

__all__ = ["pack", "unpack"]

_MAGIC = b"flk.obj\x01"
_HEAD = struct.Struct("<8sQQ")
_ALIGNMENT = 64
_DEFAULT = Limits()


def pack(encoded: Encoded) -> list[bytes | memoryview]:
    """The chunks whose concatenation is the container; buffers are the live memory, not copied."""
    sizes = [buffer.nbytes for buffer in encoded.buffers]
    table = struct.pack(f"<{len(sizes)}Q", *sizes)
    chunks: list[bytes | memoryview] = [
        _HEAD.pack(_MAGIC, len(encoded.skeleton), len(sizes)) + table,
        encoded.skeleton,
    ]
    position = _HEAD.size + len(table) + len(encoded.skeleton)
    for buffer, (gap, _, stop) in zip(encoded.buffers, _places(position, sizes), strict=True):
        if gap:
            chunks.append(bytes(gap))
        chunks.append(buffer)
        position = stop
    return chunks


def unpack(
    data: memoryview | bytes, limits: Limits = _DEFAULT
) -> tuple[memoryview, list[memoryview]]:
    """Skeleton and buffers as views into `data`. Raises DecodeError unless every length fits
    exactly."""
    view = memoryview(data).cast("B")
    if len(view) < _HEAD.size:
        raise DecodeError("the container is shorter than its header")
    magic, skeleton_bytes, count = _HEAD.unpack_from(view)
    if magic != _MAGIC:
        raise DecodeError("this is not an flk container, or one of another version")
    if skeleton_bytes > limits.skeleton_bytes or count > limits.buffers:
        raise LimitError(f"the container claims {count} buffers, skeleton {skeleton_bytes} bytes")
    start = _HEAD.size + 8 * count
    if start + skeleton_bytes > len(view):
        raise DecodeError("the container ends before its skeleton")
    sizes = struct.unpack_from(f"<{count}Q", view, _HEAD.size)
    if sum(sizes) > limits.buffer_bytes:
        raise LimitError(f"the buffers hold more than {limits.buffer_bytes} bytes")
    end = start + skeleton_bytes
    skeleton, buffers = view[start:end], []
    for gap, first, stop in _places(end, sizes):
        if stop > len(view) or any(view[first - gap : first]):
            raise DecodeError("the container is cut off or its gaps hold something")
        buffers.append(view[first:stop])
        end = stop
    if end != len(view):
        raise DecodeError("something follows the end of the container")
    return skeleton, buffers


def _places(position: int, sizes: list[int] | tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Zeros before, first byte and end of each buffer, behind `position`."""
    for size in sizes:
        gap = -position % _ALIGNMENT
        yield gap, position + gap, position + gap + size
        position += gap + size
