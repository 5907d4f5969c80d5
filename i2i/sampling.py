"""Latent inputs of generators: the same z for the same seed on every machine."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from i2i.spec import Prior
from i2i.text import did_you_mean, join_names

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


def arithmetic(prior: Prior, expression: str) -> np.ndarray:
    """Return a sum of the means of labels, float32 [prior.length]: ``"smiling-woman - calm-woman + calm-man"``.

    It is the z of one image; add a multiple of ``latent`` for variations of it (Radford et al. 2016, arXiv:1511.06434,
    section 6.3). Signs stand between spaces, since names may contain them.

    Raises ValueError for a prior without means, an unknown name, and a missing sign or name.
    """
    means = {mean.name: np.array(mean.z, np.float64) for mean in prior.means}
    if not means:
        raise ValueError(
            "this generator has no means of labels; methods with an encoder (vaegan, bigan) have them if they are "
            "trained on labelled images"
        )
    names = "|".join(map(re.escape, sorted(means, key=len, reverse=True)))  # the longest first
    term = re.compile(rf"\s*([+-]?)\s*({names})(?=\s|$)")
    z, at = np.zeros(prior.length), 0
    while at == 0 or expression[at:].strip():
        found = term.match(expression, at)
        if found is None or (at > 0 and not found[1]):
            rest = expression[at:].strip() or "the end"
            name = re.split(r"\s[+-]\s", re.sub(r"^[+-]\s*", "", rest))[0]
            raise ValueError(
                f"{expression!r}: expected {'+ or - and ' if at else ''}a name instead of {rest!r}"
                f"{did_you_mean(name, means)}; the names are {join_names(means)}"
            )
        z += -means[found[2]] if found[1] == "-" else means[found[2]]
        at = found.end()
    return z.astype(np.float32)
