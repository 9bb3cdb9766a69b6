"""Federated softmax regression on digits, written as two classes: one object at the server, one a
site."""

from __future__ import annotations

import flk
import numpy as np
from sklearn.datasets import load_digits


class Server:
    """Holds nothing: what has to survive lives in `flk.rounds`."""

    @flk.algo
    def average(self, rounds: int = 20) -> np.ndarray:
        """The weights (65, 10) after the last round."""
        loop = flk.rounds(rounds, state={"weights": np.zeros((65, 10))})
        for r in loop:
            r.state["weights"] = flk.clients.train(r.state["weights"]).reduce("mean")
        return loop.state["weights"]


class Site:
    """One site's data and how it trains. Each site gets a copy of the object in the recipe."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    @flk.init
    def load(self) -> None:
        """Images with a constant pixel (n, 65) and labels one-hot (n, 10): every so many-th one."""
        sites = flk.context.run.sites
        digits = load_digits()
        images = np.hstack([digits.data / 16, np.ones((len(digits.data), 1))])
        mine = slice(sites.index(flk.site), None, len(sites))
        self.images, self.labels = images[mine], np.eye(10)[digits.target[mine]]

    @flk.collab
    def train(self, weights: np.ndarray) -> tuple[np.ndarray, int]:
        """Ten steps of gradient descent on the site's own images."""
        for _ in range(10):
            scores = np.exp(self.images @ weights)
            chances = scores / scores.sum(axis=1, keepdims=True)
            weights -= self.rate * self.images.T @ (chances - self.labels) / len(self.images)
        flk.log({"accuracy": float(np.mean(chances.argmax(1) == self.labels.argmax(1)))})
        return weights, len(self.images)


recipe = flk.Recipe("with_class", Server(), Site(rate=0.5), min_clients=2)
