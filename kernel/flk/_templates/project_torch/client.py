"""A site: the network trained on its own data."""

import data
import flk
import torch
from network import accuracy, network
from torch import nn


class Site:
    """One instance a site."""

    @flk.init
    def load(self) -> None:
        """Once, before the first round."""
        sites = flk.context.run.sites
        self.images, self.labels = data.of_site(sites.index(flk.site), len(sites))
        self.model = network(seed=0)
        counts = torch.bincount(self.labels, minlength=data.CLASSES)
        flk.describe(labels={str(label): int(n) for label, n in enumerate(counts)})

    @flk.collab
    def train(
        self, weights: dict[str, torch.Tensor], epochs: int, lr: float
    ) -> tuple[dict[str, torch.Tensor], int]:
        """Go on with the received weights; return them and how many samples they saw."""
        self.model.load_state_dict(weights)
        optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=0.9)
        dice = torch.Generator().manual_seed(flk.seed())
        for _ in range(epochs):
            for rows in torch.randperm(len(self.labels), generator=dice).split(16):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.model(self.images[rows]), self.labels[rows])
                loss.backward()
                optimizer.step()
        flk.log({"accuracy": accuracy(self.model, self.images, self.labels)})
        return self.model.state_dict(), len(self.labels)
