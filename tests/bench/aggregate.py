"""What an aggregation costs beside plain numpy.

Large: 20 contributions of 400 MB (200 float32 tensors), owned, through `Reduction("mean")`, guard
included, against the same mean in place, which reads and writes as little as numpy can and checks
nothing: `np.multiply(x, w, out=x); np.add(acc, x, out=acc)`. Both give memory back within the time.
Memory is the peak of resident memory beside the contribution in hand, in models.

Small: arrays of 40 KB, a contribution beside `acc += x * w` and beside the plugin's own norm and
sum.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from flk.calls.reduction import Reduction
from flk.calls.trees import arrays_of

from tests.bench import resident, row

Model = dict[str, Any]

CONTRIBUTIONS = 20
TENSORS = 200
ELEMENTS = 500_000
MODEL_BYTES = TENSORS * ELEMENTS * 4


def main() -> None:
    large()
    small()


def large() -> None:
    runs: dict[str, Callable[[], tuple[float, float]]] = {"numpy": sum_numpy, "flk": sum_flk}
    took: dict[str, list[float]] = {kind: [] for kind in runs}
    peaks: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(3):
        for kind, run in runs.items():  # in turns, so that a busy moment hits both
            seconds, peak = run()
            took[kind].append(seconds)
            peaks[kind].append(peak)
    ratio = median(f / n for f, n in zip(took["flk"], took["numpy"], strict=True))
    row("20 results of 400 MB, guard and mean, beside numpy in place", ratio, aim="<= 1.2")
    row("peak memory beside the result in hand", max(peaks["flk"]), unit="models", aim="< 1.2")
    row("the same of numpy in place", max(peaks["numpy"]), unit="models")


def model(number: int) -> Model:
    block = np.random.default_rng(number).standard_normal(ELEMENTS, dtype=np.float32)
    return {f"layer{i}.weight": block + np.float32(i) for i in range(TENSORS)}


def sum_numpy() -> tuple[float, float]:
    """Seconds and extra models."""
    took, total = 0.0, 0.0
    sums: Model = {}
    with resident() as peak:
        for number in range(CONTRIBUTIONS):
            x, weight = model(number), float(100 + number)
            start = time.perf_counter()
            for name, part in x.items():
                np.multiply(part, weight, out=part)
                if number:
                    np.add(sums[name], part, out=sums[name])
            if not number:
                sums = x
            total += weight
            del x, part  # to give memory back is part of the work
            took += time.perf_counter() - start
        start = time.perf_counter()
        for part in sums.values():
            np.multiply(part, 1 / total, out=part)
        took += time.perf_counter() - start
    return took, peak() / MODEL_BYTES - 1


def sum_flk() -> tuple[float, float]:
    """Seconds and extra models."""
    took, reduction = 0.0, Reduction("mean")
    with resident() as peak:
        for number in range(CONTRIBUTIONS):
            value = (model(number), 100 + number)
            start = time.perf_counter()
            reduction.add(f"site-{number}", value, owned=True)
            del value
            took += time.perf_counter() - start
        start = time.perf_counter()
        reduction.finish()
        took += time.perf_counter() - start
    return took, peak() / MODEL_BYTES - 1


def small() -> None:
    x = np.random.default_rng(0).standard_normal(10_000, dtype=np.float32)
    arrays = arrays_of(np.ndarray)
    assert arrays is not None
    names = [f"site-{number}" for number in range(2000)]

    def plain() -> None:
        acc = np.zeros_like(x)
        for _ in names:
            acc += x * 1.5

    def arithmetic() -> None:
        acc = arrays.accumulator(x)
        for _ in names:
            arrays.norm2(x)
            arrays.axpy(acc, x, 1.0)

    def reduced(value: Any) -> Callable[[], None]:
        def run() -> None:
            reduction = Reduction("mean")
            for name in names:
                reduction.add(name, value)

        return run

    cases = {"plain": plain, "arithmetic": arithmetic, "reduction": reduced((x, 3))}
    best = dict.fromkeys(cases, 1e9)
    for _ in range(7):
        for case, run in cases.items():
            start = time.perf_counter()
            run()
            best[case] = min(best[case], (time.perf_counter() - start) / len(names) * 1e6)
    row("a result of 40 KB, guard and mean, beside acc += x * w", best["reduction"] / best["plain"])
    row(
        "the same beyond norm and sum alone",
        best["reduction"] - best["arithmetic"],
        unit="microseconds",
    )


if __name__ == "__main__":
    main()
