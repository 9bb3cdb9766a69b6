"""numpy element types as plain data and strictly back: a fixed list of letters and sizes, and
records of them. Nothing that holds Python objects, nothing whose layout depends on the platform."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np
from flk.errors import DecodeError, EncodeError

__all__ = ["describe", "parse", "sizes", "sound"]

_SIMPLE = re.compile(
    r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|[<>]c(8|16)|\|[SV]\d{1,9}|[<>]U\d{1,9}|\|U0"
    r"|[<>][mM]8(\[\d{0,9}(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
)
_DEEPEST = 6
_MOST_DIMENSIONS = 64  # products of more would be long work
_LARGEST = 1 << 31


def describe(dtype: np.dtype[Any], depth: int = 0) -> Any:
    """A string, or `[itemsize, [name, offset, shape, type], ...]` for a record."""
    if dtype.names is None:
        if not _SIMPLE.fullmatch(dtype.str):
            raise EncodeError(f"numpy arrays of dtype {dtype} cannot travel", cure=_cure(dtype))
        return dtype.str
    if depth == _DEEPEST:
        raise EncodeError(f"a structured dtype is nested deeper than {_DEEPEST} levels")
    fields: list[Any] = [dtype.itemsize]
    room = dtype.itemsize
    for name in dtype.names:
        field, offset, *title = dtype.fields[name]  # type: ignore[index]
        if title:
            raise EncodeError(f"field {name!r} of a structured dtype has a title", cure="Drop it")
        room -= field.itemsize
        if room < 0:
            raise EncodeError("fields of a structured dtype overlap", cure="Pass one of them")
        fields.append([name, offset, list(field.shape), describe(field.base, depth + 1)])
    return fields


def parse(plain: Any, depth: int = 0) -> np.dtype[Any]:
    """The dtype again. Raises DecodeError for whatever `describe` would not have written."""
    if type(plain) is str and _SIMPLE.fullmatch(plain):
        return np.dtype(plain)
    if type(plain) is not list or not plain or depth == _DEEPEST:
        raise DecodeError("an array has no dtype that could have been sent")
    (itemsize,) = sizes(plain[:1])
    names, offsets, formats, room = [], [], [], itemsize
    for field in plain[1:]:
        if type(field) is not list or len(field) != 4 or type(field[0]) is not str:
            raise DecodeError("a structured dtype has a wrong field")
        name, offset, shape, base = field
        inner = parse(base, depth + 1)
        room -= prod(sizes(shape)) * inner.itemsize
        if room < 0:  # overlapping fields would be looked through again and again
            raise DecodeError("the fields of a structured dtype do not fit it")
        sizes([offset])
        names.append(name)
        offsets.append(offset)
        formats.append((inner, tuple(shape)) if shape else inner)
    if itemsize > _LARGEST:
        raise DecodeError("a structured dtype is too large")
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def sizes(plain: Any) -> list[int]:
    """The sizes of an array's dimensions: integers that are not negative. Raises DecodeError."""
    if type(plain) is not list or len(plain) > _MOST_DIMENSIONS:
        raise DecodeError("an array has a shape that is none")
    if any(type(n) is not int or n < 0 for n in plain):
        raise DecodeError("an array has a shape that is none")
    return plain


def sound(array: Any) -> bool:
    """Whether all elements are what their type allows: truth is 0 or 1, text is code points."""
    dtype = array.dtype
    if dtype.names is not None:
        return all(sound(array[name]) for name in dtype.names)
    if not array.size or not dtype.itemsize:
        return True
    if dtype.kind == "b":
        return bool(array.view(np.uint8).max() <= 1)
    if dtype.kind == "U":
        point = np.dtype(np.uint32).newbyteorder(dtype.byteorder)
        points = array.view(np.dtype((point, (dtype.itemsize // 4,))))
        return bool(points.max() <= 0x10FFFF)
    return True


def _cure(dtype: np.dtype[Any]) -> str:
    if dtype.hasobject:
        return "Use a dtype without Python objects, or a list"
    if dtype.kind in "fc":
        return "Its layout differs between platforms: use astype('float64') or 'complex128'"
    return "Convert it to another dtype"
