"""Sources that are made of their targets: grey, lines, JPEG, noise, blur, fewer pixels, holes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

import cv2
import numpy as np

from i2i.images.image import Image, convert, resize
from i2i.spec import Domain
from i2i.text import did_you_mean

HOLE = 0.5
"""What the network sees in a hole: this share of the largest value."""


@dataclass(frozen=True)
class Kind:
    """One way to make a source: ``make(pixels, value, rng)`` of [h, w, c], uint8 or uint16, returns such pixels.

    JPEG returns uint8 of both.
    """

    make: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    values: tuple[float, float] | None = None
    """Least and most value; None for a kind without a value, or with one of ``names``."""
    names: tuple[str, ...] = ()
    example: str = ""


@dataclass(frozen=True)
class Step:
    """A kind with its value, drawn for each image from ``low`` to ``high``."""

    kind: str
    low: float = 0.0
    high: float = 0.0


def _jpeg(pixels: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Pixels after JPEG, uint8 also of uint16: the format has no more bits."""
    pixels = convert(pixels, pixels.shape[2], 8)
    bgr = pixels if pixels.shape[2] == 1 else cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    stored = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    read = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE if pixels.shape[2] == 1 else cv2.IMREAD_COLOR)
    assert read is not None  # it has just been encoded
    return read[..., None] if read.ndim == 2 else cv2.cvtColor(read, cv2.COLOR_BGR2RGB)


def _noise(pixels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    peak = np.iinfo(pixels.dtype).max
    noisy = pixels + rng.standard_normal(pixels.shape, np.float32) * np.float32(deviation * peak / 255)
    return np.clip(np.rint(noisy), 0, peak).astype(pixels.dtype)


def _blur(pixels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    if not deviation:
        return pixels
    return cv2.GaussianBlur(pixels, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101).reshape(pixels.shape)


def _downscale(pixels: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    small = resize(pixels, max(1, round(height / factor)), max(1, round(width / factor)), cv2.INTER_AREA)
    return resize(small, height, width, cv2.INTER_CUBIC)


def _grey(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    return convert(pixels, 1, 8 * pixels.itemsize)


def _edges(pixels: np.ndarray, value: float, rng: np.random.Generator) -> np.ndarray:
    """Black lines on white, by Canny's detector, whose thresholds follow the image."""
    grey = cv2.GaussianBlur(convert(pixels, 1, 8), (0, 0), 1.0)
    slopes = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    most = max(60.0, float(np.quantile(slopes, 0.9)))
    lines = 255 - cv2.Canny(grey, 0.4 * most, most, L2gradient=True)[..., None]
    return lines if pixels.dtype == np.uint8 else lines.astype(np.uint16) * np.uint16(257)


MASKS = ("rectangle", "strokes", "centre")


def _mask(pixels: np.ndarray, shape: float, rng: np.random.Generator) -> np.ndarray:
    """Colours and alpha [h, w, 4], which is 0 in a hole of about a sixth of the image."""
    height, width = pixels.shape[:2]
    hole = np.zeros((height, width), np.uint8)
    if MASKS[int(shape)] == "strokes":
        for _ in range(3):
            points = rng.random((4, 2)) * (width, height)
            thickness = max(1, round(min(height, width) * rng.uniform(0.02, 0.05)))
            cv2.polylines(hole, [points.round().astype(np.int32)], False, 255, thickness)
    else:
        drawn = rng.uniform(0.25, 0.6, 2), rng.random(2)
        share, place = drawn if MASKS[int(shape)] == "rectangle" else (np.full(2, 0.5), np.full(2, 0.5))
        tall, wide = max(1, round(height * share[0])), max(1, round(width * share[1]))
        top, left = round(place[0] * (height - tall)), round(place[1] * (width - wide))
        hole[top : top + tall, left : left + wide] = 255
    alpha = np.where(hole, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return with_holes(np.dstack([convert(pixels, 3, 8 * pixels.itemsize), alpha]))


def with_holes(pixels: np.ndarray) -> np.ndarray:
    """Return colours and alpha [h, w, 4] with one colour where alpha is 0: nothing of what was there can be seen."""
    peak = np.iinfo(pixels.dtype).max
    hidden = np.array([round(HOLE * peak)] * 3 + [0], pixels.dtype)
    return np.where(pixels[..., 3:] == 0, hidden, pixels)


KINDS = {
    "grey": Kind(_grey, example="grey"),
    "edges": Kind(_edges, example="edges"),
    "jpeg": Kind(_jpeg, (1, 100), example="jpeg:20"),
    "noise": Kind(_noise, (0, 255), example="noise:10"),
    "blur": Kind(_blur, (0, 100), example="blur:2"),
    "downscale": Kind(_downscale, (1, 64), example="downscale:4"),
    "mask": Kind(_mask, names=MASKS, example="mask:strokes"),
}


def parse_derive(text: str | None) -> tuple[Step, ...]:
    """Return the steps of a text such as "jpeg:10..60+noise:0..15"; none for None or "". Raises ValueError."""
    steps = tuple(_step(part, text or "") for part in (text or "").split("+")) if text else ()
    for number, step in enumerate(steps):
        if step.kind == "mask" and (number != len(steps) - 1 or {each.kind for each in steps} & {"grey", "edges"}):
            raise ValueError(f"derive is {text!r}; a mask is the last step, and of colour: leave out grey and edges")
    return steps


def _step(part: str, text: str) -> Step:
    name, colon, value = part.partition(":")
    kind = KINDS.get(name)
    if kind is None:
        known = ", ".join(each.example for each in KINDS.values())
        raise ValueError(f"derive is {text!r}, there is no {name!r}{did_you_mean(name, KINDS)}; choose from {known}")
    if kind.names:
        if value not in kind.names:
            raise ValueError(f"derive is {text!r}; {name} has a shape: {', '.join(f'{name}:{n}' for n in kind.names)}")
        return Step(name, *[float(kind.names.index(value))] * 2)
    if kind.values is None:
        if colon:
            raise ValueError(f"derive is {text!r}; {name} has no value")
        return Step(name)
    low, dots, high = value.partition("..")
    try:
        ends = float(low), float(high if dots else low)
    except ValueError:
        ends = (np.nan, np.nan)
    least, most = kind.values
    if not (all(map(isfinite, ends)) and least <= ends[0] <= ends[1] <= most):
        raise ValueError(
            f"derive is {text!r}; {name} has a value from {least:g} to {most:g}, or a range of such: {kind.example}"
        )
    return Step(name, *ends)


def derived_domain(target: Domain, text: str) -> Domain:
    """Return the domain of the sources that are made of a target's images. Raises ValueError where none can be."""
    steps = parse_derive(text)
    if target.bands or target.alpha or target.range:
        raise ValueError(
            f"derive is {text!r}, and {target.name} has bands, alpha or a range; it is for pictures without"
        )
    if target.bits == 16 and any(step.kind == "jpeg" for step in steps):
        raise ValueError(f"derive is {text!r}, and {target.name} has 16 bits, which JPEG has not")
    kinds = {step.kind for step in steps}
    channels = 1 if kinds & {"grey", "edges"} else 4 if "mask" in kinds else target.channels
    return replace(target, name=text, channels=channels)


def derive(pixels: np.ndarray, text: str, rng: np.random.Generator) -> np.ndarray:
    """Return the source that is made of a target's pixels [h, w, c], uint8 or uint16, with values drawn by ``rng``."""
    for step in parse_derive(text):
        value = step.low + (step.high - step.low) * rng.random()
        pixels = KINDS[step.kind].make(pixels, value, rng)
    return pixels


def derive_image(image: Image, text: str, name: str) -> Image:
    """Return the source that is made of a picture, always the same for its ``name``; what is transparent stays so."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    made = derive(image.pixels, text, np.random.default_rng(int.from_bytes(digest, "little")))
    if made.shape[2] == 4:
        return replace(image, pixels=np.ascontiguousarray(made[..., :3]), alpha=made[..., 3].copy(), icc=None)
    alpha, bits = image.alpha, 8 * made.itemsize
    if alpha is not None and bits != image.bits:
        alpha = convert(alpha[..., None], 1, bits)[..., 0]
    return replace(image, pixels=made, alpha=alpha, icc=image.icc if made.shape[2] == image.channels else None)
