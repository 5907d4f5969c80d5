"""Latent inputs of generators: the same z for the same seed on every machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import inf, isfinite

import numpy as np

from i2i.spec import Code, Prior
from i2i.text import did_you_mean, join_names

LARGEST_SEED = 2**32 - 1
FARTHEST = 3.0
"""Largest magnitude of a continuous code that is accepted: training drew it from -1 to 1."""


def seeds(n: int, first: int) -> range:
    """Return ``n`` seeds from ``first`` on. Raises ValueError for none, and for one outside 0 to 2^32 - 1."""
    if n < 1:
        raise ValueError(f"n is {n}; expected at least 1 image")
    if not 0 <= first <= LARGEST_SEED + 1 - n:
        last = f" to {first + n - 1}" if n > 1 else ""
        raise ValueError(f"seed is {first}{last}; expected 0 to {LARGEST_SEED}")
    return range(first, first + n)


def latent(prior: Prior, seeds: Iterable[int], truncate: float | None = None) -> np.ndarray:
    """Return z for each seed, float32 [n, prior.length]: noise, then the codes.

    It uses NumPy's legacy generator, whose stream is frozen for all versions and platforms. ``truncate`` redraws the
    numbers of normal noise whose magnitude exceeds it, above 0: less variety, more typical images (the truncation trick
    of BigGAN, Brock et al. 2018). The other numbers stay as they are without it.

    Raises ValueError for a seed outside 0 to 2^32 - 1, and for a ``truncate`` that is not above 0 or of a prior without
    normal noise.
    """
    if truncate is not None:
        if not 0 < truncate < inf:
            raise ValueError(f"truncate is {truncate}; expected a number above 0, such as 1")
        if prior.distribution != "normal":
            raise ValueError(
                f"truncate is {truncate}, and this model's noise is {prior.distribution}, which has no tails to cut "
                "off; leave it out"
            )
    return np.stack([_one(prior, seed, truncate) for seed in seeds])


def _one(prior: Prior, seed: int, truncate: float | None) -> np.ndarray:
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is {seed}; expected 0 to {LARGEST_SEED}")
    random = np.random.RandomState(seed)
    noise = random.standard_normal if prior.distribution == "normal" else lambda n: random.uniform(-1, 1, n)
    parts = [noise(prior.noise)]
    for code in prior.codes:
        parts.append(np.eye(code.values)[random.randint(code.values)] if code.values else random.uniform(-1, 1, 1))
    if truncate is not None:
        _redraw(parts[0], truncate, random)
    return np.concatenate(parts).astype(np.float32)


def _redraw(noise: np.ndarray, limit: float, random: np.random.RandomState) -> None:
    """Replace the numbers beyond ``limit`` by numbers from the normal distribution within it, by rejection."""
    while (beyond := np.flatnonzero(np.abs(noise) > limit)).size:
        drawn = random.uniform(-limit, limit, beyond.size)
        kept = random.uniform(size=beyond.size) < np.exp(-(drawn**2) / 2)
        noise[beyond[kept]] = drawn[kept]


def with_codes(prior: Prior, z: np.ndarray, codes: Mapping[str, float]) -> np.ndarray:
    """Return a copy of z, [n, prior.length], with the same value of each named code in all rows.

    A categorical code takes an index from 0 to values - 1; a continuous one a number from -3 to 3, of which training
    drew -1 to 1. Raises ValueError for another name or value.
    """
    z, at = z.copy(), prior.noise
    if codes and not prior.codes:
        raise ValueError(f"{', '.join(codes)}: this model has no codes to set; leave them out")
    for name in codes:
        if name not in (known := [code.name for code in prior.codes]):
            listed = ", ".join(f"{code.name} ({_range(code)})" for code in prior.codes)
            raise ValueError(f"no code {name!r}{did_you_mean(name, known)}; this model has {listed}")
    for code in prior.codes:
        if code.name in codes:
            z[:, at : at + code.width] = _part(code, codes[code.name])
        at += code.width
    return z


def _part(code: Code, value: float) -> np.ndarray:
    """Return the numbers of z that mean ``value``."""
    if code.values and value in range(code.values):
        return np.eye(code.values)[int(value)]
    if not code.values and isfinite(value) and abs(value) <= FARTHEST:
        return np.array([value])
    beyond = "" if code.values else f", and up to {FARTHEST:g} either way to see what lies beyond"
    raise ValueError(f"{code.name} is {value:g}; expected {_range(code)}{beyond}")


def _range(code: Code) -> str:
    return f"0 to {code.values - 1}" if code.values else "-1 to 1"


def between(prior: Prior, start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """Return the z that lies at ``share``, 0 to 1, of the way from ``start`` to ``end``, float32 [prior.length].

    Normal noise is interpolated on the sphere, where nearly all of it lies (White, Sampling Generative Networks, 2016),
    uniform noise and codes on a line.
    """
    line = (1 - share) * start.astype(np.float64) + share * end
    if prior.distribution == "normal":
        one, other = (side[: prior.noise].astype(np.float64) for side in (start, end))
        lengths = np.linalg.norm(one) * np.linalg.norm(other)
        angle = np.arccos(np.clip(one @ other / lengths, -1, 1)) if lengths else 0.0
        if np.sin(angle) > 1e-6:  # in one direction, or opposite ones, the sphere has no shortest way
            line[: prior.noise] = (np.sin((1 - share) * angle) * one + np.sin(share * angle) * other) / np.sin(angle)
    return line.astype(np.float32)


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
