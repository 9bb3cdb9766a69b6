"""numpy arrays and scalars as plain data plus memory, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from flk.spi.serializer import BufferSink, BufferSource, Serializer

__all__ = ["NumpySerializer"]


class NumpySerializer(Serializer):
    """See the contract."""

    types: ClassVar[Mapping[type, str]] = {
        np.ndarray: "numpy.ndarray/1",
        np.generic: "numpy.generic/1",
    }

    def encode(self, obj: Any, sink: BufferSink) -> Any:
        raise NotImplementedError

    def decode(self, name: str, meta: Any, source: BufferSource) -> Any:
        raise NotImplementedError
