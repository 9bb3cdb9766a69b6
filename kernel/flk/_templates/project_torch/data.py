"""The digits of scikit-learn, dealt out by position. Put your own data here: in the field each site
reads what lies there, and `of_site` goes away."""

from functools import lru_cache

import torch
from sklearn.datasets import load_digits

CLASSES = 10

Samples = tuple[torch.Tensor, torch.Tensor]


def held_out() -> Samples:
    """Images (n, 1, 8, 8) and labels (n,) that no site trains on."""
    images, labels = _all()
    return images[::5], labels[::5]


def of_site(site: int, sites: int) -> Samples:
    """What site number `site` of `sites` holds."""
    images, labels = _all()
    train = torch.nonzero(torch.arange(len(labels)) % 5).flatten()
    mine = train[site::sites]
    return images[mine], labels[mine]


@lru_cache(maxsize=1)
def _all() -> Samples:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    return images, torch.tensor(digits.target)
