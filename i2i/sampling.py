"""Latent inputs of generators: the same z for the same seed on every machine."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from i2i.spec import Prior

LARGEST_SEED = 2**32 - 1


def latent(prior: Prior, seeds: Iterable[int]) -> np.ndarray:
    """Return z for each seed, float32 [n, prior.length]: noise, then the codes.

    It uses NumPy's legacy generator, whose stream is frozen for all versions and platforms. Raises ValueError for a
    seed outside 0 to 2^32 - 1.
    """
    return np.stack([_one(prior, seed) for seed in seeds])


def _one(prior: Prior, seed: int) -> np.ndarray:
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is {seed}; expected 0 to {LARGEST_SEED}")
    random = np.random.RandomState(seed)
    noise = random.standard_normal if prior.distribution == "normal" else lambda n: random.uniform(-1, 1, n)
    parts = [noise(prior.noise)]
    for code in prior.codes:
        parts.append(np.eye(code.values)[random.randint(code.values)] if code.values else random.uniform(-1, 1, 1))
    return np.concatenate(parts).astype(np.float32)
