"""What the arithmetic of the arrays plugins costs beside plain numpy and torch, large and small.

Large: one array; the plain way is `np.multiply(x, w, out=tmp); np.add(acc, tmp, out=acc)`, which
needs a second array of its size. Small: 40 KB, where the calls themselves count.

    python -m tests.bench.aggregate_arrays [--megabytes 400]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from tests.bench import row, skipped

WEIGHT = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    options = parser.parse_args()
    large = options.megabytes * 10**6 // 4
    for name, prepare in (("numpy", with_numpy), ("torch", with_torch)):
        try:
            arrays, make, plain = prepare()
        except ImportError as error:
            skipped(f"{name}: sums", str(error))
            continue
        for size, repeats, rounds in ((large, 1, 5), (10_000, 2000, 5)):
            compare(name, arrays, make, plain, size, repeats, rounds)


def with_numpy() -> tuple[Any, Callable[[int], Any], Callable[[Any, Any, Any], None]]:
    import numpy as np
    from flk_serializer_numpy import NumpyArrays

    def plain(acc: Any, x: Any, tmp: Any) -> None:
        np.multiply(x, WEIGHT, out=tmp)
        np.add(acc, tmp, out=acc)

    return NumpyArrays(), lambda size: np.full(size, 0.5, np.float32), plain


def with_torch() -> tuple[Any, Callable[[int], Any], Callable[[Any, Any, Any], None]]:
    import torch
    from flk_serializer_torch import TorchArrays

    torch.set_num_threads(1)

    def plain(acc: Any, x: Any, tmp: Any) -> None:
        torch.mul(x, WEIGHT, out=tmp)
        torch.add(acc, tmp, out=acc)

    return TorchArrays(), lambda size: torch.full((size,), 0.5), plain


def compare(
    name: str,
    arrays: Any,
    make: Callable[[int], Any],
    plain: Callable[[Any, Any, Any], None],
    size: int,
    repeats: int,
    rounds: int,
) -> None:
    x, acc, tmp = make(size), make(size), make(size)
    cases = {
        "plain": lambda: plain(acc, x, tmp),
        "axpy": lambda: arrays.axpy(acc, x, WEIGHT),
        "absorb (checked)": lambda: arrays.absorb(acc, x, -1.0),  # it scales x: keep its size
        "norm": lambda: arrays.norm2(x),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for case, work in cases.items():
            began = time.perf_counter()
            for _ in range(repeats):
                work()
            best[case] = min(best[case], time.perf_counter() - began)
    label = f"{size * 4 / 1e6:g} MB"
    aims = {"axpy": "<= 1.2", "absorb (checked)": "<= 1.2"} if repeats == 1 else {}
    for case in list(cases)[1:]:
        ratio = best[case] / best["plain"]
        row(f"{name}: {case} of {label}", ratio, unit="of multiply and add", aim=aims.get(case, ""))


if __name__ == "__main__":
    main()
