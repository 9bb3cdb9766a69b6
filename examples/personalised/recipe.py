"""A global body and a personal head: sites share what sees, and keep what decides."""

from __future__ import annotations

import flk
import numpy as np
from sklearn.datasets import load_digits

Layer = dict[str, np.ndarray]
Samples = tuple[np.ndarray, np.ndarray]


class Server:
    """Averages bodies; of heads it knows only the one that everybody begins with."""

    @flk.algo
    def personalise(self, rounds: int = 10, personal: bool = True) -> dict[str, object]:
        """Accuracy of every site on its own images, how long it has had its head, and the body."""
        body, head = layer(64, 32, flk.seed("body")), layer(32, 10, flk.seed("head"))
        shared = {"body": body} if personal else {"body": body, "head": head}
        loop = flk.rounds(rounds, state={"params": shared})
        for r in loop:
            model = flk.FLModel(r.state["params"], extra={"first_head": head})
            average = flk.clients.train(model).reduce("mean")
            r.state["params"] = average.params
            flk.log(average.metrics)
        last = flk.FLModel(loop.state["params"], extra={"first_head": head})
        answers = flk.clients.score(last).by_site
        return {
            "accuracy": {site: answer.metrics["accuracy"] for site, answer in answers.items()},
            "age": {site: answer.extra["age"] for site, answer in answers.items()},
            "params": loop.state["params"],
        }


class Site:
    """One site: digits that no other has, and a head of its own."""

    @flk.init
    def load(self) -> None:
        sites = flk.context.run.sites
        self.training, self.held_out = site_data(sites.index(flk.site), len(sites))

    @flk.collab
    def train(self, model: flk.FLModel) -> flk.FLModel:
        body, head = model.params["body"], self.head(model)
        metrics = {"accuracy": accuracy(body, head, *self.held_out)}
        fit(body, head, *self.training, seed=flk.seed())
        if "head" not in model.params:
            flk.state["head"], flk.state["age"] = head, flk.state.get("age", 0) + 1
        return flk.FLModel(model.params, metrics=metrics, meta={"weight": len(self.training[1])})

    @flk.collab
    def score(self, model: flk.FLModel) -> flk.FLModel:
        found = accuracy(model.params["body"], self.head(model), *self.held_out)
        return flk.FLModel(metrics={"accuracy": found}, extra={"age": flk.state.get("age", 0)})

    def head(self, model: flk.FLModel) -> Layer:
        """The common head where there is one, else the site's own; at first the one it got."""
        if "head" in model.params:
            return model.params["head"]
        return flk.state.get("head", model.extra["first_head"])


def layer(inputs: int, outputs: int, seed: int) -> Layer:
    w = np.random.default_rng(seed).normal(0, 0.2, (inputs, outputs))
    return {"w": w, "b": np.zeros(outputs)}


def forward(body: Layer, head: Layer, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden = np.maximum(images @ body["w"] + body["b"], 0)
    return hidden, hidden @ head["w"] + head["b"]


def fit(body: Layer, head: Layer, images: np.ndarray, labels: np.ndarray, *, seed: int) -> None:
    """Two passes of gradient descent over the images; both layers are changed in place."""
    rng = np.random.default_rng(seed)
    for _ in range(2):
        for rows in np.array_split(rng.permutation(len(labels)), max(1, len(labels) // 16)):
            hidden, scores = forward(body, head, images[rows])
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            error = powers / powers.sum(axis=1, keepdims=True) - np.eye(10)[labels[rows]]
            back = error @ head["w"].T * (hidden > 0)
            for part, inputs, delta in ((head, hidden, error), (body, images[rows], back)):
                part["w"] -= 0.2 * inputs.T @ delta / len(rows)
                part["b"] -= 0.2 * delta.mean(axis=0)


def accuracy(body: Layer, head: Layer, images: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(forward(body, head, images)[1].argmax(1) == labels))


def site_data(site: int, sites: int) -> tuple[Samples, Samples]:
    """Images (n, 64) and labels (n,) of a site, for training and held out. Each digit lies at one
    site only: with five sites, two digits each."""
    digits = load_digits()
    mine = np.flatnonzero(digits.target * sites // 10 == site)
    images, labels = digits.data[mine] / 16, digits.target[mine]
    return (images[::2], labels[::2]), (images[1::2], labels[1::2])


recipe = flk.Recipe("personalised", Server, Site)
