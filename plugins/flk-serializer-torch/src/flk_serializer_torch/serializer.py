"""torch tensors and parameters as plain data plus memory, and back; never by pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from flk.errors import DecodeError, EncodeError
from flk.spi.serializer import BufferSink, BufferSource, Serializer

from flk_serializer_torch.memory import Plan, integers, place

__all__ = ["TorchSerializer"]

_TENSOR, _PARAMETER, _SIZE = "torch.Tensor/1", "torch.nn.Parameter/1", "torch.Size/1"
_COMPRESSED = {
    "csr": torch.sparse_csr,
    "csc": torch.sparse_csc,
    "bsr": torch.sparse_bsr,
    "bsc": torch.sparse_bsc,
}


class TorchSerializer(Serializer):
    """See the contract. A tensor is `[layout, requires_grad, size, part, ...]`, each part a dense
    tensor as `Plan.describe` says. Tensors leave from the device where they are and arrive in
    ordinary memory; a history of gradients stays behind."""

    types: ClassVar[Mapping[type, str]] = {
        torch.Tensor: _TENSOR,
        torch.nn.Parameter: _PARAMETER,
        torch.Size: _SIZE,
    }

    def encode(self, obj: Any, sink: BufferSink) -> Any:
        return self.encode_all([obj], sink)[0]

    def encode_all(self, objs: list[Any], sink: BufferSink) -> list[Any]:
        taken = [_take_apart(obj) for obj in objs]
        plan = Plan([part for _, parts in taken for part in parts], sink)
        return [[*head, *map(plan.describe, parts)] for head, parts in taken]

    def decode(self, name: str, meta: Any, source: BufferSource) -> Any:
        if type(meta) is not list or name not in self.types.values():
            raise DecodeError(f"this is no {name}")
        if name == _SIZE:
            return torch.Size(integers(meta))
        if len(meta) < 4 or type(meta[1]) is not bool:
            raise DecodeError("a tensor came without its description")
        layout, gradient, size, *plain = meta
        try:
            parts = [place(part, source) for part in plain]
            tensor = _put_together(layout, integers(size), parts)
            if name == _PARAMETER:
                return torch.nn.Parameter(tensor, requires_grad=gradient)
            return tensor.requires_grad_() if gradient else tensor
        except (RuntimeError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise DecodeError("torch cannot build the tensor") from error


def _take_apart(obj: Any) -> tuple[list[Any], list[Any]]:
    """What is said about a tensor, and the dense tensors that hold its elements."""
    if isinstance(obj, torch.Size):
        return list(obj), []
    tensor = obj.detach()
    if tensor.is_meta or tensor.is_quantized or tensor.is_nested or tensor.is_mkldnn:
        raise EncodeError(
            "a meta, quantized, nested or mkldnn tensor cannot travel",
            cure="Pass a dense or sparse tensor: .dequantize(), .to_padded_tensor(), .to_dense()",
        )
    layout, parts = _parts(tensor.resolve_conj().resolve_neg())
    return [layout, obj.requires_grad, list(obj.shape)], parts


def _parts(tensor: Any) -> tuple[str, list[Any]]:
    if tensor.layout is torch.strided:
        return "dense", [tensor]
    if tensor.layout is torch.sparse_coo:
        word = "coalesced" if tensor.is_coalesced() else "coo"
        return word, [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        word = "csr" if tensor.layout is torch.sparse_csr else "bsr"
        return word, [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    word = "csc" if tensor.layout is torch.sparse_csc else "bsc"
    return word, [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]


def _put_together(layout: Any, size: list[int], parts: list[Any]) -> Any:
    if layout == "dense" and len(parts) == 1 and list(parts[0].shape) == size:
        return parts[0]
    if layout in ("coo", "coalesced") and len(parts) == 2:
        indices, values = parts
        if layout == "coalesced" and not _ascending(indices, size):
            raise DecodeError("a sparse tensor claims an order that it does not have")
        return torch.sparse_coo_tensor(
            indices,
            values,
            size,
            check_invariants=True,
            is_coalesced=layout == "coalesced",
        )
    if layout in _COMPRESSED and len(parts) == 3:
        return torch.sparse_compressed_tensor(
            parts[0],
            parts[1],
            parts[2],
            torch.Size(size),
            layout=_COMPRESSED[layout],
            check_invariants=True,
        )
    raise DecodeError("a tensor has a layout that does not fit it")


def _ascending(indices: Any, size: list[int]) -> bool:
    """Whether the columns of a matrix of indices are in lexicographic order, each once."""
    if indices.dim() != 2 or len(size) < len(indices):
        return False
    before, after = indices[:, :-1], indices[:, 1:]
    undecided = torch.ones(before.shape[1], dtype=torch.bool)
    for low, high in zip(before, after, strict=True):
        if bool((undecided & (low > high)).any()):
            return False
        undecided &= low == high
    return not bool(undecided.any())
