"""Arithmetic on numpy arrays, by blocks that stay in the cache; small arrays take the shortest way.

Sums of squares are taken by `vdot` in the array's own type, which reads the memory once; a
block whose sum leaves that type's range is looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from inspect import unwrap
from math import inf, isfinite
from typing import Any

import numpy as np
from flk.spi.arrays import Arrays

__all__ = ["NumpyArrays"]

_BLOCK = 65536  # elements: a block of three float64 arrays fits a second-level cache
_HALF = np.dtype(np.float16)
_SINGLE = np.dtype(np.float32)
_DOUBLE = np.dtype(np.float64)
_ARRAY = np.ndarray
_add = np.add
_NAMES = {np.dtype(char).num: np.dtype(char).name for char in "?bBhHiIlLqQefdgFDG"}
_vdot = unwrap(np.vdot)  # without the search for array-likes that have a vdot of their own


class NumpyArrays(Arrays):
    """See the contract. Arrays of any layout and byte order; numpy scalars where nothing is
    written."""

    types = (np.ndarray, np.generic, *dict.fromkeys(np.sctypeDict.values()))

    def shape(self, x: Any) -> tuple[int, ...]:
        return x.shape  # type: ignore[no-any-return]

    def dtype(self, x: Any) -> str:
        dtype = x.dtype
        return _NAMES.get(dtype.num) or _name(dtype)

    def nbytes(self, x: Any) -> int:
        return x.nbytes  # type: ignore[no-any-return]

    def is_float(self, x: Any) -> bool:
        return x.dtype.kind in "fc"

    def copy(self, x: Any) -> Any:
        if type(x) is _ARRAY and not x.dtype.hasobject:
            return x.copy("K")
        return deepcopy(x) if x.dtype.hasobject else x.copy()

    def finite(self, x: Any) -> bool:
        if x.dtype.names is not None:
            return all(self.finite(x[name]) for name in x.dtype.names)
        if x.dtype.kind not in "fc":
            return True
        if x.size <= _BLOCK and isfinite(_squares(x)):
            return True
        return all(isfinite(_squares(b)) or bool(np.isfinite(b).all()) for b in _blocks(x))

    def norm2(self, x: Any) -> float:
        dtype = x.dtype
        if dtype is not _SINGLE and dtype is not _DOUBLE:
            _must_be_numbers(x)
        elif x.size <= _BLOCK:
            flat = x if x.ndim == 1 else x.ravel("K")
            total = float(_vdot(flat, flat))
            if total < inf:
                return total
        return _squares(x) if x.size <= _BLOCK else sum(map(_squares, _blocks(x)), 0.0)

    def cast(self, x: Any, dtype: str) -> Any:
        target = np.dtype(dtype)
        if _name(x.dtype) == _name(target):
            return x
        if x.dtype.kind == "f" and target.kind in "iub":
            x = np.rint(x)[...]  # which makes a scalar of an array without dimensions
        return x.astype(target)

    def accumulator(self, x: Any) -> Any:
        _must_be_numbers(x)
        kind, dtype = x.dtype.kind, x.dtype
        native = dtype if dtype.isnative else dtype.newbyteorder("=")  # which makes a new object
        dtype = _DOUBLE if kind in "iub" else _SINGLE if native == _HALF else native
        return np.zeros_like(x, dtype=dtype, subok=False)

    def axpy(self, acc: Any, x: Any, alpha: float) -> None:
        if x.dtype is acc.dtype and x.size <= _BLOCK:
            _add(acc, x if alpha == 1.0 else x * alpha, acc)
            return
        scratch = np.empty(min(x.size, _BLOCK), acc.dtype)
        for a, b in _pairs(acc, x):
            scaled = scratch[: b.size].reshape(b.shape)
            np.multiply(b, alpha, out=scaled, dtype=acc.dtype)
            np.add(a, scaled, out=a)

    def absorb(self, acc: Any, x: Any, alpha: float) -> tuple[Any, float]:
        total = 0.0
        with np.errstate(over="ignore"):  # the caller judges by the norm
            for a, b in ((acc, x),) if x.size <= _BLOCK else _pairs(acc, x):
                total += _squares(b)
                if not isfinite(total):
                    break  # nobody wants the sum
                if alpha != 1:
                    np.multiply(b, alpha, b)
                np.add(a, b, b)
        return x, total

    def can_absorb(self, acc: Any, x: Any) -> bool:
        if type(x) is not np.ndarray or acc.dtype != x.dtype or acc.shape != x.shape:
            return False
        ours, theirs = acc.flags, x.flags
        same = (ours.c_contiguous and theirs.c_contiguous) or (
            ours.f_contiguous and theirs.f_contiguous
        )
        return same and theirs.writeable and x.dtype.kind in "fc"

    def memory(self, x: Any) -> tuple[str, int, int] | None:
        start = stop = x.__array_interface__["data"][0]
        if x.size:
            reach = [(n - 1) * stride for n, stride in zip(x.shape, x.strides, strict=True)]
            start += sum(step for step in reach if step < 0)
            stop += sum(step for step in reach if step > 0) + x.itemsize
        return "cpu", start, stop

    def scale(self, x: Any, alpha: float) -> None:
        np.multiply(x, alpha, out=x)

    def add_modulo(self, x: Any, y: Any, bits: int) -> Any:
        width = 8 * x.dtype.itemsize
        if x.dtype.kind != "u" or x.dtype != y.dtype or not 0 < bits <= width:
            raise ValueError(
                f"add_modulo takes two unsigned arrays of one type and 1 to {width} bits, "
                f"not {x.dtype}, {y.dtype} and {bits}"
            )
        total = np.add(x, y)
        return total if bits == width else total & x.dtype.type((1 << bits) - 1)


def _must_be_numbers(x: Any) -> None:
    if x.dtype.kind not in "fciub":
        raise TypeError(f"an array of {x.dtype} holds no numbers")


@lru_cache(maxsize=1024)
def _name(dtype: np.dtype[Any]) -> str:
    return dtype.name if dtype.names is None else str(dtype)


def _squares(block: Any) -> float:
    """Sum of the squared absolute values of one block; not finite if an element is not, or if
    float64 cannot hold it."""
    flat = block if block.ndim == 1 else block.ravel("K")
    dtype = flat.dtype
    if dtype.kind in "iub":
        flat = flat.astype(_DOUBLE)
    elif dtype.kind == "f" and dtype.itemsize == 2:
        flat = flat.astype(_SINGLE)
    total = float(_vdot(flat, flat).real)  # unlike dot, vdot does not warn of overflow
    if not isfinite(total) and dtype.char in "fF":
        flat = flat.astype(_DOUBLE if dtype.kind == "f" else np.complex128)
        total = float(_vdot(flat, flat).real)
    return total


def _blocks(x: Any) -> Iterator[Any]:
    for a, _ in _pairs(x, x):
        yield a


def _pairs(acc: Any, x: Any) -> Iterator[tuple[Any, Any]]:
    """Views of matching blocks of two arrays of one shape, at most `_BLOCK` elements each."""
    size = x.size
    if size <= _BLOCK:
        yield acc, x
        return
    if x.ndim > 1:
        ours, theirs = acc.flags, x.flags
        if ours.c_contiguous and theirs.c_contiguous:
            acc, x = acc.ravel(), x.ravel()
        elif ours.f_contiguous and theirs.f_contiguous:
            acc, x = acc.ravel("F"), x.ravel("F")
        else:
            for a, b in zip(acc, x, strict=True):
                yield from _pairs(a, b)
            return
    for start in range(0, size, _BLOCK):
        yield acc[start : start + _BLOCK], x[start : start + _BLOCK]
