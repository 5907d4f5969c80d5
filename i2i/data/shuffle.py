"""The order of the images: a function of the position, so that training can start at any step."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def index_at(position: int, count: int, seed: int) -> int:
    """Return the index of the image at a position of the endless sequence: each once per epoch, in a new order."""
    return int(_permutation(count, seed, position // count)[position % count])


@lru_cache(maxsize=8)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch, count)).permutation(count)
