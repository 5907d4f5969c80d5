"""Sources that are made of their targets."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from i2i.images import Image
from i2i.images.derive import KINDS, derive, derive_image, derived_domain, parse_derive
from i2i.spec import Domain


def photo(side: int = 96) -> np.ndarray:
    """A smooth picture with a bright disc, uint8 [side, side, 3]."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(40, 180, (6, 6, 3)).astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.circle(image, (side // 2, side // 2), side // 4, (250, 240, 60), -1)


def made(way: str, image: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    return derive(photo() if image is None else image, way, np.random.default_rng(seed))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return -10 * math.log10(np.square((one.astype(float) - other) / 255).mean())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_way_gives_its_domain(kind, channels: int, dtype: type) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    target = Domain("photos", channels, bits)
    if kind.example.startswith("jpeg") and bits == 16:
        with pytest.raises(ValueError, match="photos has 16 bits, which JPEG has not"):
            derived_domain(target, kind.example)
        deep = photo()[..., :channels].astype(np.uint16) * 257  # of one picture of a set of 8 bits
        assert np.array_equal(made(kind.example, deep), made(kind.example, photo()[..., :channels]))
        return
    domain = derived_domain(target, kind.example)
    image = photo()[:, :70, :channels].astype(dtype) * (257 if bits == 16 else 1)
    found = made(kind.example, image)
    assert (found.shape, found.dtype) == ((*image.shape[:2], domain.channels), dtype)
    assert np.array_equal(found, made(kind.example, image))
    assert domain.name == kind.example
    if domain.channels == channels:
        assert not np.array_equal(found, image) or kind.example == "grey"


def test_values_mean_what_they_say() -> None:
    image = photo()
    right = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    assert np.array_equal(made("jpeg:20"), cv2.imdecode(right, cv2.IMREAD_COLOR)[..., ::-1])
    middle = np.full((64, 64, 3), 128, np.uint8)
    assert (made("noise:10", middle).astype(float) - 128).std() == pytest.approx(10, rel=0.05)
    assert (made("noise:10", middle.astype(np.uint16) * 257) / 257.0 - 128).std() == pytest.approx(10, rel=0.05)
    assert psnr(made("downscale:2"), image) > psnr(made("downscale:8"), image) + 3
    assert np.array_equal(made("blur:0"), image)
    assert np.array_equal(made("downscale:1"), image)
    lines = made("edges")
    assert set(np.unique(lines)) == {0, 255}
    assert 0 in lines[48, 20:28]  # the edge of the disc, 24 from its centre
    assert lines[48, 40:56].min() == 255


def test_ranges_are_drawn_and_steps_follow_each_other() -> None:
    noises = [(made("noise:0..20", np.full((64, 64, 1), 128, np.uint8), seed) - 128.0).std() for seed in range(40)]
    assert min(noises) < 4
    assert max(noises) > 16
    once = made("grey")
    assert np.array_equal(made("grey+blur:0"), once)
    both = made("blur:2+jpeg:10")
    assert psnr(both, made("blur:2")) < 45  # JPEG comes after the blur
    assert psnr(both, photo()) < psnr(made("blur:2"), photo()) + 0.1


@pytest.mark.parametrize("shape", ["rectangle", "strokes", "centre"])
def test_a_hole_hides_what_was_there(shape: str) -> None:
    image = photo()
    found = made(f"mask:{shape}")
    hole = found[..., 3] == 0
    assert 0.03 < hole.mean() < 0.4
    assert len(np.unique(found[hole], axis=0)) == 1
    assert np.array_equal(found[~hole][:, :3], image[~hole])
    assert (found[~hole][:, 3] == 255).all()
    places = {made(f"mask:{shape}", seed=seed)[..., 3].tobytes() for seed in range(5)}
    assert len(places) == (1 if shape == "centre" else 5)


def test_an_image_is_made_by_its_name() -> None:
    image = Image(photo(), icc=b"profile", format="JPEG")
    one = derive_image(image, "noise:10", "a.jpg")
    assert np.array_equal(one.pixels, derive_image(image, "noise:10", "a.jpg").pixels)
    assert not np.array_equal(one.pixels, derive_image(image, "noise:10", "b.jpg").pixels)
    assert one.icc == b"profile"
    assert derive_image(image, "grey", "a.jpg").icc is None  # a profile of colours
    alpha = derive_image(image, "mask:centre", "a.jpg").alpha
    assert alpha is not None
    assert alpha[48, 48] == 0


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("jpg:20", r"there is no 'jpg' \(did you mean jpeg\?\)"),
        ("jpeg", "jpeg has a value from 1 to 100"),
        ("jpeg:0", "jpeg has a value from 1 to 100"),
        ("jpeg:60..10", "or a range of such: jpeg:20"),
        ("jpeg:nan", "jpeg has a value"),
        ("noise:-1", "noise has a value from 0 to 255"),
        ("grey:1", "grey has no value"),
        ("mask", "mask has a shape: mask:rectangle, mask:strokes, mask:centre"),
        ("mask:star", "mask has a shape"),
        ("mask:centre+blur:1", "a mask is the last step"),
        ("grey+mask:centre", "leave out grey and edges"),
        ("blur:1+", "there is no ''"),
    ],
)
def test_other_ways_are_refused(way: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_derive(way)


def test_it_is_for_pictures() -> None:
    for domain in (Domain("x", 4), Domain("x", 5, 32, "float32", ((0, 1),)), replace(Domain("x"), range=((0, 100),))):
        with pytest.raises(ValueError, match="x has bands, alpha or a range"):
            derived_domain(domain, "blur:1")
