"""Federated averaging on the digits: every line of federated code there is."""

from __future__ import annotations

import flk
import model
import numpy as np
from data import Samples, site_data, test_set


@flk.algo
def fed_avg(rounds: int = 30, epochs: int = 2) -> model.Weights:
    """At the server: send the weights out, average what comes back, and again."""
    flk.clients.introduce()
    images, labels = test_set()
    loop = flk.rounds(rounds, state={"weights": model.fresh(flk.seed())})
    for r in loop:
        results = flk.clients(min_results=0.8).train(r.state["weights"], epochs)
        r.state["weights"] = results.reduce("mean")
        flk.log(model.measure(r.state["weights"], images, labels))
    return loop.state["weights"]


@flk.collab
def introduce() -> None:
    """At a site: tell how many images of each digit lie here, for the report."""
    _, labels = mine()
    counts = np.bincount(labels, minlength=10)
    flk.describe(labels={str(digit): int(n) for digit, n in enumerate(counts)})


@flk.collab
def train(weights: model.Weights, epochs: int) -> tuple[model.Weights, int]:
    """At a site: go on with the received weights; return them and how many images they saw."""
    images, labels = mine()
    flk.log(model.measure(weights, images, labels))
    model.fit(weights, images, labels, epochs=epochs, rng=np.random.default_rng(flk.seed()))
    return weights, len(labels)


def mine() -> Samples:
    """The data of the site whose code runs. In the field: read them from where they lie."""
    sites = flk.context.run.sites
    return site_data(sites.index(flk.site), len(sites))


recipe = flk.Recipe("hello_fedavg", min_clients=2)

if __name__ == "__main__":
    run = recipe.execute(flk.env.sim(num_clients=5))
    print(run.status, run.last())
