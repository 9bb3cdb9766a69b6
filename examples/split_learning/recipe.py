"""Split learning: the first layer at the sites, the last at the server; activations and gradients
cross the cut with every batch."""

from __future__ import annotations

import flk
import numpy as np
from sklearn.datasets import load_digits

Layer = dict[str, np.ndarray]
RATE = 0.2
BATCH = 32


class Server:
    """The half behind the cut: 32 activations in, ten scores out."""

    @flk.algo
    def split(self, rounds: int = 5) -> dict[str, Layer]:
        """Both halves after the last round; in a round every site trains once, in turn."""
        begin = {"front": layer(64, 32, flk.seed("front")), "back": layer(32, 10, flk.seed("back"))}
        loop = flk.rounds(rounds, state=begin)
        for r in loop:
            self.back, self.losses = r.state["back"], []
            for site in flk.clients:
                r.state["front"] = site.train(r.state["front"])
            flk.log({"loss": float(np.mean(self.losses))})
        return loop.state

    @flk.collab
    def step(self, activations: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Forward and backward through the server's half; the gradient at the cut."""
        chances = softmax(activations @ self.back["w"] + self.back["b"])
        self.losses.append(-np.mean(np.log(chances[np.arange(len(labels)), labels])))
        error = (chances - np.eye(10)[labels]) / len(labels)
        gradient = error @ self.back["w"].T
        descend(self.back, activations, error)
        return gradient


class Site:
    """The half before the cut: 64 pixels in, 32 activations out."""

    @flk.init
    def load(self) -> None:
        sites = flk.context.run.sites
        self.images, self.labels = site_data(sites.index(flk.site), len(sites))

    @flk.collab
    def train(self, front: Layer) -> Layer:
        """One pass over the site's images."""
        for rows in batches(len(self.labels), flk.seed()):
            images = self.images[rows]
            activations = np.maximum(images @ front["w"] + front["b"], 0)
            gradient = flk.server.step(activations, self.labels[rows])
            descend(front, images, gradient * (activations > 0))
        return front


def layer(inputs: int, outputs: int, seed: int) -> Layer:
    w = np.random.default_rng(seed).normal(0, 0.2, (inputs, outputs))
    return {"w": w, "b": np.zeros(outputs)}


def descend(weights: Layer, inputs: np.ndarray, error: np.ndarray) -> None:
    """One step of gradient descent, in place."""
    weights["w"] -= RATE * inputs.T @ error
    weights["b"] -= RATE * error.sum(axis=0)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def batches(count: int, seed: int) -> list[np.ndarray]:
    """The rows of each batch of one pass."""
    order = np.random.default_rng(seed).permutation(count)
    return [order[start : start + BATCH] for start in range(0, count, BATCH)]


def site_data(site: int, sites: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 64) with pixels from 0 to 1, and labels (n,)."""
    digits = load_digits()
    return digits.data[site::sites] / 16, digits.target[site::sites]


recipe = flk.Recipe("split_learning", Server, Site)
