"""A ring: the model travels from site to site, and no server is in the middle."""

from __future__ import annotations

import flk
import numpy as np
from sklearn.datasets import load_digits

Hop = tuple[str, str]
"""Who called whom."""


class Server:
    """Sends the model off and gets it back, once a lap."""

    @flk.algo
    def ring(self, rounds: int = 3) -> dict[str, object]:
        """The weights (65, 10) after the last lap, and the way they took in it."""
        sites = list(flk.clients.names)
        loop = flk.rounds(rounds, state={"weights": np.zeros((65, 10)), "way": []})
        for r in loop:
            self.arrived = None
            first, *others = flk.rng().sample(sites, len(sites))
            r.state["way"] = flk.clients[first].travel(r.state["weights"], others)
            assert self.arrived is not None, "the last site brings the weights"
            r.state["weights"] = self.arrived
        return loop.state

    @flk.collab
    def bring(self, weights: np.ndarray) -> None:
        """Called by the last site of the ring."""
        self.arrived = weights


class Site:
    """One site: it trains what comes and passes it on."""

    @flk.init
    def load(self) -> None:
        sites = flk.context.run.sites
        self.images, self.labels = site_data(sites.index(flk.site), len(sites))

    @flk.collab
    def travel(self, weights: np.ndarray, others: list[str]) -> list[Hop]:
        """Train, pass on to the first of `others`, and tell who called whom from here on."""
        weights = train(weights, self.images, self.labels)
        flk.log({"accuracy": accuracy(weights, self.images, self.labels)})
        here = (flk.caller, flk.site)
        if not others:
            flk.server.bring(weights)
            return [here]
        following, *rest = others
        return [here, *flk.clients[following].travel(weights, rest)]


def site_data(site: int, sites: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with a constant pixel (n, 65), and labels one-hot (n, 10)."""
    digits = load_digits()
    images = np.hstack([digits.data / 16, np.ones((len(digits.data), 1))])
    return images[site::sites], np.eye(10)[digits.target[site::sites]]


def train(weights: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Thirty steps of gradient descent."""
    for _ in range(30):
        scores = np.exp(images @ weights)
        chances = scores / scores.sum(axis=1, keepdims=True)
        weights = weights - 0.5 * images.T @ (chances - labels) / len(images)
    return weights


def accuracy(weights: np.ndarray, images: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean((images @ weights).argmax(1) == labels.argmax(1)))


recipe = flk.Recipe("client_to_client", Server, Site, min_clients=2)
