"""numpy for flk: `NumpySerializer` says how arrays travel, `NumpyArrays` copies, checks and sums
them."""

from flk_serializer_numpy.arrays import NumpyArrays
from flk_serializer_numpy.serializer import NumpySerializer

__all__ = ["NumpyArrays", "NumpySerializer"]
