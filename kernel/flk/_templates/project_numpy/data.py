"""The digits of scikit-learn, dealt out by position. Put your own data here: in the field each site
reads what lies there, and `of_site` goes away."""

from functools import lru_cache

import numpy as np
from sklearn.datasets import load_digits

FEATURES, CLASSES = 65, 10

Samples = tuple[np.ndarray, np.ndarray]


def held_out() -> Samples:
    """Images (n, 65), the last value always 1, and labels (n,) that no site trains on."""
    images, labels = _all()
    return images[::5], labels[::5]


def of_site(site: int, sites: int) -> Samples:
    """What site number `site` of `sites` holds."""
    images, labels = _all()
    train = np.flatnonzero(np.arange(len(labels)) % 5)
    mine = train[site::sites]
    return images[mine], labels[mine]


@lru_cache(maxsize=1)
def _all() -> Samples:
    digits = load_digits()
    return np.hstack([digits.data / 16, np.ones((len(digits.data), 1))]), digits.target
