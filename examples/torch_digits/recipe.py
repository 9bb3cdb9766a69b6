"""A small convolutional network on digits in torch, averaged by the ready-made workflow."""

from __future__ import annotations

from typing import Any

import flk
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

torch.set_num_threads(1)  # the network is too small for more


def network() -> nn.Module:
    """8x8 images in, ten scores out; 6,058 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def digits(part: slice, test: bool = False) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 8, 8) with pixels from 0 to 1, and labels (n,): of every fifth image, which are
    for the test, or of the others."""
    data = load_digits()
    images = torch.tensor(data.images[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(data.target)
    chosen = torch.arange(len(labels)) % 5 == 0
    chosen = chosen if test else ~chosen
    return images[chosen][part], labels[chosen][part]


def initial() -> dict[str, Tensor]:
    """At the server, once: the state dict to begin with."""
    torch.manual_seed(flk.seed("initial"))
    return network().state_dict()


def evaluate(params: dict[str, Tensor]) -> dict[str, float]:
    """At the server, after each round: how good the average is on images that no site has."""
    images, labels = digits(slice(None), test=True)
    return {"accuracy": accuracy(loaded(params), images, labels)}


class Site:
    """One site: its share of the images, and how it trains."""

    @flk.init
    def load(self) -> None:
        sites = flk.context.run.sites
        self.images, self.labels = digits(slice(sites.index(flk.site), None, len(sites)))

    @flk.collab
    def train(self, model: flk.FLModel) -> flk.FLModel:
        net = loaded(model.params)
        before = accuracy(net, self.images, self.labels)
        optimizer = torch.optim.Adam(net.parameters(), lr=flk.props["lr"])
        chance = torch.Generator().manual_seed(flk.seed())
        for _ in range(flk.props["epochs"]):
            for rows in torch.randperm(len(self.labels), generator=chance).split(16):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(net(self.images[rows]), self.labels[rows])
                loss.backward()
                optimizer.step()
        return flk.FLModel(
            net.state_dict(),
            metrics={"loss": loss.item(), "accuracy_before": before},
            current_round=model.current_round,
            meta={"weight": len(self.labels)},
        )


def loaded(params: dict[str, Tensor]) -> nn.Module:
    net = network()
    net.load_state_dict(params)
    return net


@torch.no_grad()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor) -> float:
    return (net(images).argmax(1) == labels).float().mean().item()


workflow: Any = flk.workflow.fedavg(initial, rounds=3, evaluate=evaluate)
recipe = flk.Recipe("torch_digits", workflow, Site, config={"lr": 0.005, "epochs": 3})
