"""The memory of FedAvg in the simulator, with 64 sites and a model of 100 MB, in models.

Of the results alone: each site answers with a model that is there already, and the server sums as
answers arrive. Of a whole run of the workflow, beyond what there was before it: there the model,
its copy at the site that trains, and the states that make rounds durable count too.
"""

from __future__ import annotations

import os
from functools import partial

import flk
import numpy as np

from tests.bench import resident, row

SITES = 64
TENSORS = 50
ELEMENTS = 500_000
MODEL_BYTES = TENSORS * ELEMENTS * 4


class Site:
    @flk.collab
    def train(self, model):
        for tensor in model.params.values():
            tensor += 1.0
        return model.params, 10


class Holder:
    def __init__(self, model):
        self.model = model

    @flk.collab
    def answer(self):
        return self.model, 10


class Server:
    @flk.algo
    def average(self):
        """Models at the highest point."""
        with resident() as peak:
            flk.clients(blocking=False).answer().reduce("mean")
            return peak() / MODEL_BYTES


def initial() -> dict[str, np.ndarray]:
    return {f"layer{n}": np.full(ELEMENTS, n, np.float32) for n in range(TENSORS)}


def run(server: object, client: object, sites: int = SITES) -> flk.Run:
    return flk.Recipe("bench", server, client, trackers=[]).execute(flk.env.sim(sites))


def main() -> None:
    os.environ["FLK_PLUGINS_DISABLE"] = "progress"
    run(flk.workflow.fedavg({"w": np.ones(10)}), Site, 2).value()  # plugins are loaded
    model = initial()
    held = run(Server, partial(Holder, model)).value()
    model.clear()
    row("64 results of 100 MB, summed as they arrive", held, unit="models", aim="<= 2.2")
    with resident() as peak:
        average = run(flk.workflow.fedavg(initial, rounds=2), Site).value()
    assert average.params["layer7"][0] == 9.0
    row("a whole run of two durable rounds", peak() / MODEL_BYTES, unit="models")


if __name__ == "__main__":
    main()
