"""What an aggregation costs beside plain numpy. Prints one JSON object; not a test.

Large: contributions of many float32 tensors, owned, through `Reduction("mean")`, guard included,
against the same mean in place, which reads and writes as little as numpy can and checks nothing:
`np.multiply(x, w, out=x); np.add(acc, x, out=acc)`. Memory is the peak of resident memory above the
contribution in hand, in models. Small: one array of 40 KB, the time of a contribution beyond
`acc += x * w` and beyond the plugin's own norm and sum.

    python tests/bench/aggregate.py [--count 20] [--tensors 200] [--megabytes 400] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from flk.calls.reduction import Reduction
from flk.calls.trees import arrays_of

Model = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--tensors", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    size = options.megabytes * 10**6 // 4 // options.tensors
    print(json.dumps({"large": large(options, size), "small": small()}, indent=2))


def large(options: argparse.Namespace, size: int) -> dict[str, Any]:
    def model(number: int) -> Model:
        rng = np.random.default_rng(number)
        block = rng.standard_normal(size, dtype=np.float32)
        return {f"layer{i}.weight": block + np.float32(i) for i in range(options.tensors)}

    nbytes = size * 4 * options.tensors
    kinds: dict[str, Callable[..., Any]] = {"numpy": sum_numpy, "flk": sum_flk}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    peaks: dict[str, float] = {}
    for _ in range(options.repeats):
        for kind, run in kinds.items():  # in turns, so that a busy moment hits both
            took, peak, result = run(model, options.count, nbytes)
            seconds[kind].append(took)
            peaks[kind] = round(peak, 3)
            del result
    ratios = [f / n for f, n in zip(seconds["flk"], seconds["numpy"], strict=True)]
    return {
        "contributions": options.count,
        "megabytes": nbytes / 1e6,
        "tensors": options.tensors,
        "numpy_seconds": round(min(seconds["numpy"]), 3),
        "flk_seconds": round(min(seconds["flk"]), 3),
        "ratio": round(median(ratios), 3),
        "ratio_of_best": round(min(seconds["flk"]) / min(seconds["numpy"]), 3),
        "peak_models_beside_contribution": peaks,
    }


def sum_numpy(model: Callable[[int], Model], count: int, nbytes: int) -> tuple[float, float, Model]:
    took, sums, total = 0.0, {}, 0.0
    with resident() as peak:
        for number in range(count):
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
    return took, peak() / nbytes - 1, sums


def sum_flk(model: Callable[[int], Model], count: int, nbytes: int) -> tuple[float, float, Model]:
    took, reduction = 0.0, Reduction("mean")
    with resident() as peak:
        for number in range(count):
            value = (model(number), 100 + number)
            start = time.perf_counter()
            reduction.add(f"site-{number}", value, owned=True)
            del value
            took += time.perf_counter() - start
        start = time.perf_counter()
        result = reduction.finish()
        took += time.perf_counter() - start
    return took, peak() / nbytes - 1, result


def small() -> dict[str, Any]:
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
            arrays.axpy(acc, x, 1.5)

    def reduced(value: Any) -> Callable[[], None]:
        def run() -> None:
            reduction = Reduction("mean")
            reduction.add("first", value)  # 3 is 1.5 * 2: sums multiply as the others do
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
    return {
        "kilobytes": x.nbytes / 1000,
        **{f"{case}_us": round(value, 2) for case, value in best.items()},
        "overhead_over_plain_us": round(best["reduction"] - best["plain"], 2),
        "overhead_over_arithmetic_us": round(best["reduction"] - best["arithmetic"], 2),
    }


@contextmanager
def resident() -> Iterator[Callable[[], int]]:
    """Bytes of resident memory at the highest point inside, above the start."""
    stop, highest = threading.Event(), [0]
    start = _resident()

    def watch() -> None:
        while not stop.wait(0.002):
            highest[0] = max(highest[0], _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: highest[0] - start
    finally:
        stop.set()
        watcher.join()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
