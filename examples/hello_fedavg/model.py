"""A small neural network in numpy: 64 pixels, 32 hidden units, 10 digits."""

from __future__ import annotations

import numpy as np

Weights = dict[str, np.ndarray]


def fresh(seed: int = 0) -> Weights:
    """Weights to begin with."""
    rng = np.random.default_rng(seed)
    return {
        "w1": rng.normal(0, 0.2, (64, 32)),
        "b1": np.zeros(32),
        "w2": rng.normal(0, 0.2, (32, 10)),
        "b2": np.zeros(10),
    }


def fit(
    weights: Weights,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    rng: np.random.Generator,
    rate: float = 0.3,
    batch: int = 16,
) -> None:
    """Stochastic gradient descent; `weights` are changed in place."""
    wanted = np.eye(10)[labels]
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(labels), batch):
            rows = order[start : start + batch]
            x, hidden, chances = _forward(weights, images[rows])
            error = (chances - wanted[rows]) / len(rows)
            back = error @ weights["w2"].T * (hidden > 0)
            weights["w2"] -= rate * hidden.T @ error
            weights["b2"] -= rate * error.sum(axis=0)
            weights["w1"] -= rate * x.T @ back
            weights["b1"] -= rate * back.sum(axis=0)


def measure(weights: Weights, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy from 0 to 1 and mean cross-entropy."""
    *_, chances = _forward(weights, images)
    right = chances[np.arange(len(labels)), labels]
    return {
        "accuracy": float(np.mean(chances.argmax(axis=1) == labels)),
        "loss": float(-np.mean(np.log(right + 1e-12))),
    }


def _forward(weights: Weights, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hidden = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    scores = hidden @ weights["w2"] + weights["b2"]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return x, hidden, powers / powers.sum(axis=1, keepdims=True)
