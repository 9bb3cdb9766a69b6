"""Arithmetic on torch tensors, on the device where they lie and without a trace in autograd.

On a CPU large tensors are taken by blocks; elsewhere at once, because each block would wait for the
device.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import isfinite
from typing import Any, ClassVar

import torch
from flk.spi.arrays import Arrays

__all__ = ["TorchArrays"]

_BLOCK = 1 << 20  # elements
_SIGNED = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_UNSIGNED = frozenset({torch.uint8, torch.uint16, torch.uint32, torch.uint64})


class TorchArrays(Arrays):
    """See the contract. Dense tensors of any layout; sparse ones can be copied, checked and added
    to a dense accumulator."""

    types: ClassVar[tuple[type, ...]] = (torch.Tensor, torch.nn.Parameter)

    def shape(self, x: Any) -> tuple[int, ...]:
        return tuple(x.shape)

    def dtype(self, x: Any) -> str:
        return _name(x.dtype)

    def nbytes(self, x: Any) -> int:
        return sum(part.numel() * part.element_size() for part in _memory(x))

    def is_float(self, x: Any) -> bool:
        return _is_float(x.dtype)

    def copy(self, x: Any) -> Any:
        copy = x.detach().clone()
        if type(x) is torch.nn.Parameter:
            return torch.nn.Parameter(copy, requires_grad=x.requires_grad)
        return copy.requires_grad_() if x.requires_grad else copy

    def finite(self, x: Any) -> bool:
        if not _is_float(x.dtype):
            return True
        return all(
            isfinite(_squares(block)) or bool(torch.isfinite(_wide(block)).all())
            for block in _blocks(_values(x))
        )

    def norm2(self, x: Any) -> float:
        if x.layout is torch.sparse_coo and not x.is_coalesced():
            x = x.detach().coalesce()
        return sum(map(_squares, _blocks(_values(x))), 0.0)

    def cast(self, x: Any, dtype: str) -> Any:
        target = getattr(torch, dtype, None)
        if not isinstance(target, torch.dtype):
            raise ValueError(f"torch has no dtype {dtype!r}")
        if x.dtype == target:
            return x
        x = x.detach()
        if _is_float(x.dtype) and not (_is_float(target) or x.dtype.is_complex):
            x = torch.round(_wide(x))
        return x.to(target)

    def accumulator(self, x: Any) -> Any:
        return torch.zeros(x.shape, dtype=_sum_dtype(x.dtype), device=x.device)

    def axpy(self, acc: Any, x: Any, alpha: float) -> None:
        x = x.detach()
        if x.layout is not torch.strided:
            if x.layout is not torch.sparse_coo:
                x = x.to_sparse_coo()
            acc.add_(x.to(acc.dtype), alpha=alpha)
        elif x.dtype == acc.dtype:
            acc.add_(x, alpha=alpha)
        else:
            for a, b in _pairs(acc, x):
                a.add_(b.to(acc.dtype), alpha=alpha)

    def absorb(self, acc: Any, x: Any, alpha: float) -> tuple[Any, float]:
        x, total = x.detach(), 0.0
        for a, b in _pairs(acc, x):
            total += _squares(b)
            if not isfinite(total):
                break  # nobody wants the sum
            torch.add(a, b, alpha=alpha, out=b)
        return x, total

    def can_absorb(self, acc: Any, x: Any) -> bool:
        return (
            x.layout is torch.strided
            and _is_float(x.dtype)
            and acc.dtype == x.dtype
            and acc.shape == x.shape
            and acc.device == x.device
            and acc.is_contiguous()
            and x.is_contiguous()
            and not (x.is_conj() or x.is_neg())
        )

    def memory(self, x: Any) -> tuple[str, int, int] | None:
        if x.layout is not torch.strided:
            return None
        start = stop = x.data_ptr()
        if x.numel():
            reach = sum((n - 1) * step for n, step in zip(x.shape, x.stride(), strict=True))
            stop += (reach + 1) * x.element_size()
        return str(x.device), start, stop

    def scale(self, x: Any, alpha: float) -> None:
        x.detach().mul_(alpha)

    def add_modulo(self, x: Any, y: Any, bits: int) -> Any:
        width = 8 * x.dtype.itemsize
        if x.dtype not in _UNSIGNED or x.dtype != y.dtype or not 0 < bits <= width:
            raise ValueError(
                f"add_modulo takes two unsigned tensors of one type and 1 to {width} bits, "
                f"not {x.dtype}, {y.dtype} and {bits}"
            )
        signed = _SIGNED[x.dtype.itemsize]  # sums wrap alike, and torch adds few unsigned types
        total = x.view(signed) + y.view(signed)
        if bits < width:
            total &= (1 << bits) - 1
        return total.view(x.dtype)


@lru_cache(maxsize=256)
def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _is_float(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex


@lru_cache(maxsize=256)
def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_complex:
        return torch.complex64 if dtype == torch.complex32 else dtype
    if not dtype.is_floating_point:
        return torch.float64
    return torch.float32 if dtype.itemsize < 4 else dtype


def _memory(x: Any) -> tuple[Any, ...]:
    """The dense tensors that make up one of any layout."""
    if x.layout is torch.sparse_coo:
        return x._indices(), x._values()
    if x.layout in (torch.sparse_csr, torch.sparse_bsr):
        return x.crow_indices(), x.col_indices(), x.values()
    if x.layout in (torch.sparse_csc, torch.sparse_bsc):
        return x.ccol_indices(), x.row_indices(), x.values()
    return (x,)


def _values(x: Any) -> Any:
    return _memory(x)[-1].detach()


def _wide(block: Any) -> Any:
    """A block in a type that torch calculates with: small floats in float32."""
    return block.to(_sum_dtype(block.dtype))


def _squares(block: Any) -> float:
    """Sum of the squared absolute values of one block; not finite if an element is not, or if
    float64 cannot hold it."""
    block = _wide(block)
    norm = torch.linalg.vector_norm(block).item()
    if not isfinite(norm) and block.dtype in (torch.float32, torch.complex64):
        wide = torch.complex128 if block.dtype.is_complex else torch.float64
        norm = torch.linalg.vector_norm(block.to(wide)).item()
    return float(norm) * float(norm)


def _blocks(x: Any) -> Iterator[Any]:
    for a, _ in _pairs(x, x):
        yield a


def _pairs(acc: Any, x: Any) -> Iterator[tuple[Any, Any]]:
    """Views of matching blocks of two tensors of one shape, at most `_BLOCK` elements each."""
    if not x.numel():
        return
    if x.numel() <= _BLOCK or x.device.type != "cpu":
        yield acc, x
    elif acc.is_contiguous() and x.is_contiguous():
        yield from zip(acc.view(-1).split(_BLOCK), x.view(-1).split(_BLOCK), strict=True)
    elif x.dim() == 1:
        yield from zip(acc.split(_BLOCK), x.split(_BLOCK), strict=True)
    else:
        for a, b in zip(acc.unbind(), x.unbind(), strict=True):
            yield from _pairs(a, b)
