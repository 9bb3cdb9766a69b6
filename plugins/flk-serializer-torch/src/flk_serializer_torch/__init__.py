"""torch for flk: `TorchSerializer` says how tensors travel, `TorchArrays` copies, checks and sums
them."""

from flk_serializer_torch.arrays import TorchArrays
from flk_serializer_torch.serializer import TorchSerializer

__all__ = ["TorchArrays", "TorchSerializer"]
