"""What encoding costs beside a copy: a state dict of many tensors, for numpy and for torch.

Memory is resident memory beyond what was there before, at its highest point, as a share of the
state dict; time is a share of the time that copying it takes. Decoding is around buffers in hand,
as after receipt.

    python -m tests.bench.encode [--mebibytes 1024] [--tensors 200]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

from flk.wire import Codecs, decode, encode

from tests.bench import resident, row, skipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--tensors", type=int, default=200)
    options = parser.parse_args()
    elements = (options.mebibytes << 20) // 4 // options.tensors
    for name, make in (("numpy", numpy_state), ("torch", torch_state)):
        try:
            state = make(options.tensors, elements)
        except ImportError as error:
            skipped(f"{name}: encode and decode", str(error))
            continue
        measure(name, state, options.tensors * elements * 4)
        del state


def numpy_state(tensors: int, elements: int) -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    return {f"layer{n}": rng.random(elements, dtype=np.float32) for n in range(tensors)}


def torch_state(tensors: int, elements: int) -> dict[str, Any]:
    import torch

    return {f"layer{n}": torch.rand(elements) for n in range(tensors)}


def measure(name: str, state: dict[str, Any], nbytes: int) -> None:
    codecs = Codecs()
    small = encode(dict(list(state.items())[:1]), codecs)  # the plugin joins
    decode(small.skeleton, small.buffers, codecs)
    gc.collect()
    encoded, encoding, peak = watched(lambda: encode(state, codecs))
    row(f"{name}: extra memory to encode", peak / nbytes, unit="of the state dict", aim="< 0.01")
    owned, copying, _ = watched(encoded.owned)
    back, decoding, peak = watched(lambda: decode(owned.skeleton, owned.buffers, codecs))
    row(f"{name}: extra memory to decode", peak / nbytes, unit="of the state dict", aim="< 0.01")
    assert list(back) == list(state)
    row(f"{name}: time to encode", encoding / copying, unit="of a copy", aim="< 0.05")
    row(f"{name}: time to decode", decoding / copying, unit="of a copy", aim="< 0.05")


def watched(work: Callable[[], Any]) -> tuple[Any, float, int]:
    """The result, seconds, and bytes of resident memory at the highest point above the start."""
    with resident() as peak:
        began = time.perf_counter()
        result = work()
        took = time.perf_counter() - began
    return result, took, peak()


if __name__ == "__main__":
    main()
