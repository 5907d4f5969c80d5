"""Latent inputs: the same numbers for a seed on every machine, codes by name, truncation, and the way between two."""

from __future__ import annotations

import math

import numpy as np
import pytest

from i2i.sampling import LARGEST_SEED, between, latent, with_codes
from i2i.spec import Code, Prior

CODES = (Code("digit", 4), Code("slant"))
NORMAL, UNIFORM = (Prior(3, (4, 4), name, CODES) for name in ("normal", "uniform"))
MANY = Prior(1000, (4, 4))
# Of NumPy's frozen generator: these must never change, since files are named by their seeds.
KNOWN = {
    NORMAL: [1.764052391052246, 0.40015721321105957, 0.978738009929657, 0, 1, 0, 0, 0.24712739884853363],
    UNIFORM: [0.09762700647115707, 0.4303787350654602, 0.20552675426006317, 0, 0, 0, 1, 0.6945034861564636],
}


@pytest.mark.parametrize("prior", KNOWN, ids=["normal", "uniform"])
def test_a_seed_gives_the_same_numbers_for_ever(prior: Prior) -> None:
    z = latent(prior, [0, 5])
    assert (z.dtype, z.shape) == (np.float32, (2, 8))
    assert z[0].tolist() == KNOWN[prior]
    assert np.array_equal(latent(prior, range(6))[5], z[1])


def test_noise_has_its_distribution() -> None:
    z = latent(MANY, range(50))
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02
    z = latent(Prior(1000, (4, 4), "uniform"), range(50))
    assert abs(z.std() - 1 / math.sqrt(3)) < 0.01
    assert np.abs(z).max() <= 1


@pytest.mark.parametrize("limit", [0.001, 0.5, 1.0, 3.0, 50.0])
def test_truncation_redraws_what_is_beyond_and_nothing_else(limit: float) -> None:
    whole, z = latent(MANY, range(50)), latent(MANY, range(50), limit)
    assert np.abs(z).max() <= np.float32(limit)
    inside = np.abs(whole) <= limit
    assert np.array_equal(z[inside], whole[inside])
    density, mass = math.exp(-(limit**2) / 2) / math.sqrt(2 * math.pi), math.erf(limit / math.sqrt(2))
    deviation = math.sqrt(1 - 2 * limit * density / mass)  # of a normal distribution that is cut off on both sides
    assert abs(z.std() / deviation - 1) < 0.02
    assert not z[~inside].size or len(np.unique(np.abs(z[~inside]))) > 0.9 * z[~inside].size  # drawn, not clipped


def test_truncation_leaves_the_codes() -> None:
    assert np.array_equal(latent(NORMAL, range(9), 0.1)[:, 3:], latent(NORMAL, range(9))[:, 3:])


@pytest.mark.parametrize("limit", [0, -1.0, math.inf, math.nan])
def test_a_truncation_of_nothing_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match=r"^truncate is .*; expected a number above 0"):
        latent(NORMAL, [0], limit)


def test_uniform_noise_is_not_truncated() -> None:
    with pytest.raises(ValueError, match=r"noise is uniform, which has no tails"):
        latent(UNIFORM, [0], 1.0)


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
def test_a_seed_beyond_the_range_is_refused(seed: int) -> None:
    assert latent(NORMAL, [LARGEST_SEED]).shape == (1, 8)
    with pytest.raises(ValueError, match=f"seed is {seed}; expected 0 to 4294967295"):
        latent(NORMAL, [seed])


def test_codes_are_set_by_name() -> None:
    z = latent(NORMAL, range(5))
    made = with_codes(NORMAL, z, {"slant": -0.5, "digit": 2})
    assert np.array_equal(made[:, :3], z[:, :3])
    assert (made[:, 3:] == np.float32([0, 0, 1, 0, -0.5])).all()
    only = with_codes(NORMAL, z, {"slant": 3})
    assert np.array_equal(only[:, :7], z[:, :7])
    assert (only[:, 7] == 3).all()
    assert np.array_equal(z, latent(NORMAL, range(5)))  # which was copied
    assert np.array_equal(with_codes(MANY, latent(MANY, [0]), {}), latent(MANY, [0]))


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({"digit": 4}, "digit is 4; expected 0 to 3"),
        ({"digit": -1}, "digit is -1; expected 0 to 3"),
        ({"digit": 0.5}, "digit is 0.5; expected 0 to 3"),
        ({"slant": 3.5}, "slant is 3.5; expected -1 to 1, and up to 3 either way"),
        ({"slant": math.nan}, "slant is nan; expected -1 to 1"),
        (
            {"digits": 1},
            r"no code 'digits' \(did you mean digit\?\); this model has digit \(0 to 3\), slant ",
        ),
    ],
)
def test_other_codes_are_refused(codes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        with_codes(NORMAL, latent(NORMAL, [0]), codes)


def test_a_model_without_codes_has_none_to_set() -> None:
    with pytest.raises(ValueError, match="slant: this model has no codes to set; leave them out"):
        with_codes(MANY, latent(MANY, [0]), {"slant": 0})


def test_normal_noise_is_interpolated_on_the_sphere() -> None:
    prior = Prior(2, (1, 1), codes=(Code("slant"),))
    start, end = np.float32([2, 0, -1]), np.float32([0, 2, 1])
    assert np.allclose(between(prior, start, end, 0), start)
    assert np.allclose(between(prior, start, end, 1), end, atol=1e-6)
    assert np.allclose(between(prior, start, end, 1 / 3), [math.sqrt(3), 1, -1 / 3])  # a third of the right angle
    far = latent(MANY, [1, 2])
    lengths = [np.linalg.norm(between(MANY, *far, share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert max(lengths) / min(lengths) < 1.1  # a straight line comes 30 % nearer to zero
    assert np.allclose(between(prior, start, 2 * start, 0.5), 1.5 * start)  # no angle to go


def test_uniform_noise_is_interpolated_on_a_line() -> None:
    prior = Prior(2, (1, 1), "uniform")
    assert np.allclose(between(prior, np.float32([1, 0]), np.float32([0, 1]), 0.25), [0.75, 0.25])
