"""A simulated round in which nothing is trained: what the simulator adds to the work itself.

1,000 sites get a model of 40 KB and return it. Two loops stand beside it in the same process: one
that copies what goes out and comes back and sums it with weights as numpy does, and one that
submits to a pool of threads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import flk
import numpy as np

from tests.bench import row

SITES = 1000
ROUNDS = 15
MODEL = np.ones(10_000, np.float32)


class Sites:
    @flk.collab
    def train(self, weights):
        return weights, 10


class Copying:
    @flk.algo
    def mean(self):
        return [timed(self.round) for _ in range(ROUNDS)]

    def round(self):
        flk.clients(blocking=False).train(MODEL).reduce("mean")


class Sharing(Copying):
    def round(self):
        flk.clients.train(MODEL)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def simulated(server: type, sites: int = SITES, **options: object) -> float:
    """Seconds a round."""
    os.environ["FLK_PLUGINS_DISABLE"] = "progress"
    recipe = flk.Recipe("bench", server, Sites, trackers=[])
    return median(recipe.execute(flk.env.sim(sites, **options)).value()[3:])


def train(weights):
    return weights, 10


def bare_mean() -> None:
    total, weight = np.zeros_like(MODEL), 0.0
    scaled = np.empty_like(MODEL)
    for _ in range(SITES):
        update, samples = train(MODEL.copy())
        update = update.copy()
        np.multiply(update, samples, out=scaled)
        np.add(total, scaled, out=total)
        weight += samples
    total /= weight


def pooled(pool: ThreadPoolExecutor) -> None:
    for future in [pool.submit(train, MODEL) for _ in range(SITES)]:
        future.result()


def main() -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ratios: dict[str, list[float]] = {"mean": [], "share": []}
        for _ in range(5):
            bare = median(timed(bare_mean) for _ in range(ROUNDS))
            ratios["mean"].append(bare / simulated(Copying))
            threads = median(timed(lambda: pooled(pool)) for _ in range(ROUNDS))
            shared = simulated(Sharing, share=True)
            ratios["share"].append(threads / shared)
    row(
        "a round of 1,000 sites with copies, guard and mean, against a bare loop",
        median(ratios["mean"]),
        unit="of its speed",
        aim=">= 0.8",
    )
    row(
        "a round with share=True, against a pool of threads",
        median(ratios["share"]),
        unit="times faster",
        aim=">= 5",
    )
    row("a call in it", shared / SITES * 1e6, unit="µs", aim="")


if __name__ == "__main__":
    main()
