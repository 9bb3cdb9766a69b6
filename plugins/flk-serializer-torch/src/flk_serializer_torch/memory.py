"""Tensors as windows into memory: which stretches of which storages a message has to carry, and
windows put onto received memory again.

Only bytes that tensors of the message cover leave the process: a storage is never sent whole for
the sake of a slice. Stretches that overlap are joined and travel once.
"""

from __future__ import annotations

import ctypes
import sys
from math import prod
from typing import Any

import torch
from flk.errors import DecodeError, EncodeError
from flk.spi.serializer import BufferSink, BufferSource

__all__ = ["DTYPES", "Plan", "integers", "place"]

_NAMES = (
    "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 bfloat16 float32 float64 "
    "complex32 complex64 complex128 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz "
    "float8_e8m0fnu float4_e2m1fn_x2"
)
DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in _NAMES.split() if hasattr(torch, name)
}
_NAME_OF = {dtype: name for name, dtype in DTYPES.items()}
_ALIGNMENT = 16
_MOST_DIMENSIONS = 64  # products of more would be long work


class Plan:
    """Which memory the dense tensors of one message need."""

    def __init__(self, tensors: list[Any], sink: BufferSink) -> None:
        self._sink = sink
        self._copies: dict[Any, int] = {}
        self._joined: dict[int, list[tuple[int, int]]] = {}
        stretches: dict[int, list[tuple[int, int]]] = {}
        for tensor in tensors:
            if _packed(tensor):
                storage, start, stop = _extent(tensor)
                stretches.setdefault(storage.data_ptr(), []).append((start, stop))
        for address, found in stretches.items():
            self._joined[address] = _join(found)

    def describe(self, tensor: Any) -> list[Any]:
        """`[dtype, size, stride, offset, buffer, its bytes]`; stride and offset in elements, no
        buffer if there are no elements."""
        if tensor.dtype not in _NAME_OF:
            raise EncodeError(f"tensors of dtype {tensor.dtype} cannot travel")
        name, size = _NAME_OF[tensor.dtype], list(tensor.shape)
        if not tensor.numel():
            return [name, size, [], 0, None, 0]
        storage, start, stop = _extent(tensor)
        for low, high in self._joined.get(storage.data_ptr(), ()):
            offset, odd = divmod(start - low, tensor.element_size())
            if low <= start and stop <= high and not odd and _distinct(tensor):
                number = self._send(storage, low, high)
                return [name, size, list(tensor.stride()), offset, number, high - low]
        key = (storage.data_ptr(), start, tensor.dtype, tensor.shape, tensor.stride())
        copy = _compact(tensor)
        nbytes = copy.numel() * copy.element_size()
        if key not in self._copies:
            self._copies[key] = self._send(copy.untyped_storage(), 0, nbytes)
        return [name, size, list(copy.stride()), 0, self._copies[key], nbytes]

    def _send(self, storage: Any, low: int, high: int) -> int:
        if storage.device.type != "cpu":
            window = torch.empty(0, dtype=torch.uint8, device=storage.device)
            window.set_(storage, low, (high - low,), (1,))
            key = ("torch", str(storage.device), storage.data_ptr() + low, high - low)
            if key not in self._copies:
                self._copies[key] = self._send(window.cpu().untyped_storage(), 0, high - low)
            return self._copies[key]
        address = storage.data_ptr() + low
        memory: Any = (ctypes.c_ubyte * (high - low)).from_address(address)
        memory.owner = storage  # keeps it alive as long as the view
        return self._sink.add(memory, key=("torch", address, high - low))


def place(plain: Any, source: BufferSource) -> Any:
    """The tensor that `describe` described, as a window into a received buffer."""
    if type(plain) is not list or len(plain) != 6 or type(plain[0]) is not str:
        raise DecodeError("a tensor came without its description")
    name, size, stride, offset, number, nbytes = plain
    dtype = DTYPES.get(name)
    if dtype is None:
        raise DecodeError("a tensor has a dtype that this torch does not know")
    integers([*integers(size), *integers(stride), offset, nbytes])
    if len(size) > _MOST_DIMENSIONS:
        raise DecodeError("a tensor has more dimensions than there are")
    count = prod(size)
    if not count:
        if stride or offset or number is not None or nbytes:
            raise DecodeError("a tensor without elements came with memory")
        return torch.empty(size, dtype=dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if max(last + 1, count) * dtype.itemsize > nbytes:
        raise DecodeError("a tensor reaches beyond its memory")
    tensor = torch.empty(0, dtype=dtype)
    tensor.set_(_storage(number, nbytes, source), offset, size, stride)
    if not _distinct(tensor):
        raise DecodeError("the elements of a tensor lie on one another")
    if dtype is torch.bool and int(tensor.view(torch.uint8).max()) > 1:
        raise DecodeError("a tensor holds truth values that do not exist")
    return tensor


def integers(plain: Any) -> list[int]:
    """A list of integers of 63 bits that are not negative. Raises DecodeError."""
    if type(plain) is not list or any(type(n) is not int or not 0 <= n < 1 << 63 for n in plain):
        raise DecodeError("a tensor has sizes that are none")
    return plain


def _storage(number: Any, nbytes: int, source: BufferSource) -> Any:
    """The storage around a buffer, the same for all tensors of the message that lie in it."""
    data = source.get(number)
    if data.nbytes != nbytes:
        raise DecodeError(f"a tensor's memory of {nbytes} bytes came with {data.nbytes}")
    key = ("torch", number)
    if key not in source.shared:
        if data.readonly:  # torch has no tensors that cannot be written
            source.claim(nbytes)
            data = memoryview(bytearray(data))
        window = torch.frombuffer(data, dtype=torch.uint8)
        if window.data_ptr() % _ALIGNMENT:
            source.claim(nbytes)
            window = window.clone()
        source.shared[key] = window.untyped_storage()
    return source.shared[key]


def _join(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(stretches):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def _extent(tensor: Any) -> tuple[Any, int, int]:
    """Storage of a tensor with elements, and its first and last byte there."""
    storage, width = tensor.untyped_storage(), tensor.element_size()
    first = tensor.storage_offset()
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = first + sum((n - 1) * step for n, step in steps)
    if (last + 1) * width > storage.nbytes():
        raise EncodeError(
            f"a {type(tensor).__name__} has no memory of its own here", cure="Pass its full tensor"
        )
    return storage, first * width, (last + 1) * width


def _packed(tensor: Any) -> bool:
    """Whether the elements fill a stretch of memory without gaps, each once."""
    if not tensor.numel():
        return False
    _, start, stop = _extent(tensor)
    return stop - start == tensor.numel() * tensor.element_size() and _distinct(tensor)


def _distinct(tensor: Any) -> bool:
    """Whether no two elements share memory: each stride steps over all smaller ones."""
    if tensor.is_contiguous():
        return True
    reach = 0
    for step, n in sorted((step, n) for n, step in zip(tensor.shape, tensor.stride(), strict=True)):
        if n > 1:
            if step <= reach:
                return False
            reach += (n - 1) * step
    return True


def _compact(tensor: Any) -> Any:
    """A contiguous copy; types that torch cannot rearrange are moved as bytes."""
    if tensor.dtype.itemsize == 1 and tensor.dtype is not torch.bool:
        return tensor.view(torch.uint8).clone(memory_format=torch.contiguous_format)
    return tensor.clone(memory_format=torch.contiguous_format)


if sys.byteorder != "little":
    raise ImportError("tensors travel in little-endian order, which this machine does not have")
