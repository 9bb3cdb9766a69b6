"""The digits of scikit-learn, 1,797 real images of 8x8 pixels, dealt out so that each site sees
mostly digits of its own."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from sklearn.datasets import load_digits

OWN = 0.9
"""Share of a digit's images that lies at the sites it belongs to; the rest is dealt to all."""

Samples = tuple[np.ndarray, np.ndarray]
"""Images (n, 64) with pixels from 0 to 1, and their labels (n,) from 0 to 9."""


def test_set() -> Samples:
    """Every fifth image: no site ever trains on them."""
    images, labels = _all()
    return images[::5], labels[::5]


def training_set() -> Samples:
    """All others. Nobody in a real federation could hold this; here it is the yardstick."""
    images, labels = _all()
    train = np.arange(len(labels)) % 5 != 0
    return images[train], labels[train]


def site_data(site: int, sites: int) -> Samples:
    """What site number `site` of `sites` holds; the same in every run."""
    images, labels = training_set()
    holder = np.empty(len(labels), int)
    for digit in range(10):
        owners = {digit * sites // 10} | {s for s in range(sites) if s * 10 // sites == digit}
        where = np.flatnonzero(labels == digit)
        own, rest = np.split(where, [round(OWN * len(where))])
        holder[own] = np.resize(sorted(owners), len(own))
        holder[rest] = np.resize(np.roll(np.arange(sites), digit), len(rest))
    mine = holder == site
    return images[mine], labels[mine]


@lru_cache(1)
def _all() -> Samples:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    return digits.data[order] / 16.0, digits.target[order]
