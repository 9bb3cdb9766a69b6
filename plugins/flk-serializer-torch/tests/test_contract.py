import warnings

import pytest
import torch
from flk.testing.arrays import ArraysSuite
from flk.testing.serializer import SerializerSuite
from flk_serializer_torch import TorchArrays, TorchSerializer
from flk_serializer_torch.memory import DTYPES

pytestmark = [
    pytest.mark.filterwarnings("ignore:ComplexHalf support:UserWarning"),
    pytest.mark.filterwarnings("ignore:Sparse:UserWarning"),
]


class TestTorchArrays(ArraysSuite):
    unsigned = (("uint8", 8), ("uint16", 16), ("uint32", 32), ("uint64", 64))
    summed_in = (
        *ArraysSuite.summed_in,
        ("bfloat16", "float32"),
        ("float8_e4m3fn", "float32"),
        ("complex64", "complex64"),
    )

    def make(self):
        return TorchArrays()

    def array(self, values, dtype):
        return torch.tensor(values, dtype=getattr(torch, dtype))

    def flat(self, x):
        return x.reshape(-1).tolist()


def sparse(layout):
    dense = torch.tensor([[0.0, 1, 0, 0], [2, 0, 0, 3]])
    if layout == "coo":
        return torch.sparse_coo_tensor(
            torch.tensor([[0, 1, 1], [1, 0, 0]]), torch.tensor([1.0, 2, 3]), (2, 4)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if layout == "coalesced":
            return dense.to_sparse()
        block = ((1, 2),) if layout.startswith("bs") else ()
        return getattr(dense, f"to_sparse_{layout}")(*block)


def raw(tensor):
    parts = {
        torch.sparse_coo: lambda: [tensor._indices(), tensor._values()],
        torch.sparse_csr: lambda: [tensor.crow_indices(), tensor.col_indices(), tensor.values()],
        torch.sparse_bsr: lambda: [tensor.crow_indices(), tensor.col_indices(), tensor.values()],
        torch.sparse_csc: lambda: [tensor.ccol_indices(), tensor.row_indices(), tensor.values()],
        torch.sparse_bsc: lambda: [tensor.ccol_indices(), tensor.row_indices(), tensor.values()],
    }.get(tensor.layout, lambda: [tensor])()
    views = [p.detach().view(torch.uint8) if p.itemsize == 1 else p.detach() for p in parts]
    copies = [view.clone(memory_format=torch.contiguous_format) for view in views]
    return [bytes(copy.untyped_storage()) for copy in copies]


class TestTorchSerializer(SerializerSuite):
    def make(self):
        return TorchSerializer()

    def examples(self):
        examples = []
        for dtype in DTYPES.values():
            grid = (torch.arange(4 * 6 * dtype.itemsize) % 2).to(torch.uint8).view(dtype)
            grid = grid.view(4, 6)
            examples += [grid, grid.t(), grid[::2], grid[:, 1:3], grid[1, 2], grid[:0]]
            examples += [grid[:, :1].expand(4, 3)]
        leaf = torch.arange(3.0).requires_grad_()
        examples += [leaf, leaf * 2, torch.nn.Parameter(torch.ones(2, 2))]
        examples += [torch.nn.Parameter(torch.ones(2), requires_grad=False), torch.Size([2, 3])]
        examples += [torch.ones(2, dtype=torch.complex64).conj(), torch.Size([])]
        layouts = ("coo", "coalesced", "csr", "csc", "bsr", "bsc")
        return examples + [sparse(layout) for layout in layouts]

    def equal(self, a, b):
        if isinstance(b, torch.Size):
            return type(a) is type(b) and a == b
        return (
            type(a) is type(b)
            and (a.dtype, a.shape, a.layout) == (b.dtype, b.shape, b.layout)
            and a.requires_grad == b.requires_grad
            and (a.layout is not torch.sparse_coo or a.is_coalesced() == b.is_coalesced())
            and raw(a.resolve_conj()) == raw(b.resolve_conj())
        )

    def refused(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
        return [torch.empty(2, device="meta"), quantized]

    def changeable(self):
        return torch.zeros(4096), _overwrite

    def sharing(self):
        tensor = torch.zeros(40, 50)
        return tensor, tensor.t(), _overwrite


def _overwrite(tensor):
    tensor.fill_(7)
