"""A site: softmax regression by gradient descent on its own data."""

import data
import flk
import numpy as np


class Site:
    """One instance a site."""

    @flk.init
    def load(self) -> None:
        """Once, before the first round."""
        sites = flk.context.run.sites
        self.images, self.labels = data.of_site(sites.index(flk.site), len(sites))
        counts = np.bincount(self.labels, minlength=data.CLASSES)
        flk.describe(labels={str(label): int(n) for label, n in enumerate(counts)})

    @flk.collab
    def train(self, weights: np.ndarray, epochs: int, lr: float) -> tuple[np.ndarray, int]:
        """Go on with the received weights; return them and how many samples they saw."""
        rng = np.random.default_rng(flk.seed())
        wanted = np.eye(data.CLASSES)[self.labels]
        for _ in range(epochs):
            order = rng.permutation(len(self.labels))
            for rows in np.array_split(order, max(1, len(order) // 16)):
                scores = np.exp(self.images[rows] @ weights)
                chances = scores / scores.sum(axis=1, keepdims=True)
                weights -= lr * self.images[rows].T @ (chances - wanted[rows]) / len(rows)
        flk.log({"accuracy": float(np.mean((self.images @ weights).argmax(1) == self.labels))})
        return weights, len(self.labels)
