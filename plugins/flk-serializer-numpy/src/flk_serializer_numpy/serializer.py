"""numpy arrays and scalars as plain data plus memory, and back."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar

import numpy as np
from flk.errors import DecodeError, EncodeError
from flk.spi.serializer import BufferSink, BufferSource, Serializer

from flk_serializer_numpy.dtypes import describe, parse, sizes, sound

__all__ = ["NumpySerializer"]

_ARRAY, _SCALAR = "numpy.ndarray/1", "numpy.generic/1"


class NumpySerializer(Serializer):
    """See the contract. An array is `[dtype, shape, order, buffer]`, without a buffer if it has no
    bytes; a scalar `[dtype, bytes]`. Order (C or Fortran) and byte order are kept."""

    types: ClassVar[Mapping[type, str]] = {np.ndarray: _ARRAY, np.generic: _SCALAR}

    def encode(self, obj: Any, sink: BufferSink) -> Any:
        if isinstance(obj, np.generic):
            scalar = np.asarray(obj)
            return [describe(scalar.dtype), scalar.tobytes()]
        if isinstance(obj, np.ma.MaskedArray):
            raise EncodeError(
                "a masked array would lose its mask", cure="Pass .data and .mask, or .filled()"
            )
        array = np.asarray(obj)
        dtype, shape, order, number = describe(array.dtype), list(array.shape), "C", None
        if array.nbytes:
            if not array.flags.c_contiguous:
                if array.flags.f_contiguous:
                    order, array = "F", array.T
                else:
                    array = np.ascontiguousarray(array)
            data = array.reshape(-1).view(np.uint8)
            address = data.__array_interface__["data"][0]
            number = sink.add(data, key=("numpy", address, data.nbytes))
        return [dtype, shape, order, number]

    def decode(self, name: str, meta: Any, source: BufferSource) -> Any:
        try:
            if name == _ARRAY:
                return _decode_array(meta, source)
            if name == _SCALAR:
                return _decode_scalar(meta)
        except (ValueError, TypeError, OverflowError) as error:
            raise DecodeError(f"numpy cannot build the array: {error}") from error
        raise DecodeError(f"numpy has no type {name}")


def _decode_array(meta: Any, source: BufferSource) -> Any:
    plain, shape, order, number = _list(meta, 4)
    dtype, count = parse(plain), prod(sizes(shape))
    if order not in ("C", "F"):
        raise DecodeError("an array is in an order that does not exist")
    nbytes = count * dtype.itemsize
    if number is None:
        source.claim(count)  # elements without bytes are no memory yet, but whoever lists them pays
        data = memoryview(bytearray())
    else:
        data = source.get(number)
    if data.nbytes != nbytes:
        raise DecodeError(f"an array of {nbytes} bytes came with {data.nbytes}")
    if not nbytes:
        return np.empty(shape, dtype, order)
    array: Any = np.ndarray(tuple(shape), dtype, data, order=order)
    if not sound(array.T if order == "F" else array):
        raise DecodeError("an array holds truth values or characters that do not exist")
    return array


def _decode_scalar(meta: Any) -> Any:
    plain, data = _list(meta, 2)
    dtype = parse(plain)
    if type(data) is not bytes or len(data) != dtype.itemsize:
        raise DecodeError("a scalar came with a wrong number of bytes")
    array: Any = np.ndarray((), dtype, bytearray(data) if data else None)
    if not sound(array):
        raise DecodeError("a scalar holds a truth value or characters that do not exist")
    return array[()]


def _list(meta: Any, length: int) -> list[Any]:
    if type(meta) is not list or len(meta) != length:
        raise DecodeError("an array came without its description")
    return meta
