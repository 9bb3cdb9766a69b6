"""What federation is worth on the digits: the federated model beside what each site can do alone
and what one could do if all data lay in one place. `tox run -e demo` runs it.

All models have the same architecture, begin with the same weights, learn at the same rate, see
their images equally often and are measured on the same held-out images.
"""

from __future__ import annotations

import os
import sys

import flk
import model
import numpy as np
import recipe as hello
from data import test_set, training_set
from recipe import introduce, mine, train  # what the sites export, beside train_alone

__all__ = ["compare", "introduce", "recipe", "train", "train_alone"]


@flk.algo
def compare(rounds: int = 30, epochs: int = 2) -> dict[str, float]:
    """Accuracy on the held-out images by way of training."""
    federated = hello.fed_avg(rounds, epochs)
    alone = flk.clients.train_alone(model.fresh(flk.seed()), rounds * epochs).by_site
    pooled = model.fresh(flk.seed())
    rng = np.random.default_rng(flk.seed("pooled"))
    model.fit(pooled, *training_set(), epochs=rounds * epochs, rng=rng)

    found = {site: accuracy(weights) for site, weights in alone.items()}
    return {
        "federated": accuracy(federated),
        "pooled": accuracy(pooled),
        "local only, mean": float(np.mean(list(found.values()))),
        **{f"local only, {site}": value for site, value in found.items()},
    }


@flk.collab
def train_alone(weights: model.Weights, epochs: int) -> model.Weights:
    """At a site: train on its own images and listen to nobody."""
    model.fit(weights, *mine(), epochs=epochs, rng=np.random.default_rng(flk.seed()))
    return weights


def accuracy(weights: model.Weights) -> float:
    return model.measure(weights, *test_set())["accuracy"]


recipe = flk.Recipe("hello_fedavg_demo", min_clients=2)

if __name__ == "__main__":
    if not sys.stderr.isatty():
        os.environ.setdefault("FLK_PROGRESS", "plain")
    run = recipe.execute(flk.env.sim(num_clients=5))
    result = run.value()
    print(f"\nAccuracy on {len(test_set()[1])} images that no site trained on\n")
    for name, value in result.items():
        print(f"  {name:<20} {value:6.1%}")
    print(f"\nrun folder  {run.folder}\nreport      {run.folder}/report.html")
