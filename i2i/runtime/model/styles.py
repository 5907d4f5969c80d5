"""Styles of a translator with the second input ``style``: of a seed, of an example image, or as numbers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from i2i import sampling
from i2i.images import Image, read_image
from i2i.images.image import resize
from i2i.runtime import processing
from i2i.runtime.errors import ModelError
from i2i.runtime.graphs import spec_check
from i2i.runtime.graphs.onnx_file import OpenedFile, read_spec
from i2i.runtime.providers.table import open_session
from i2i.spec import STYLE_ENCODER, Spec
from i2i.text import printable

LARGEST = 1024
"""Pixels of the longer side of an example image; a larger one is reduced to that."""

StyleLike = str | os.PathLike[str] | np.ndarray
"""An example image, as its path or as an array of uint8 or uint16; or the numbers of a style, as an array of floats."""


@dataclass(frozen=True)
class Style:
    """A style, and where it comes from, for the names of results and messages."""

    values: tuple[float, ...]
    origin: str
    """Such as "seed3" or "like-example"."""
    given: bool = True
    """False for the style that a translator has by default."""

    @property
    def array(self) -> np.ndarray:
        """The input ``style`` for one image, float32 [1, length]."""
        return np.array([self.values], np.float32)


def default(spec: Spec) -> Style | None:
    """Return the style of a translation without a choice, that of seed 0; None for a model without styles."""
    return None if spec.style is None else Style(_seeded(spec, 0), "seed0", given=False)


def choose(spec: Spec, opened: OpenedFile, style: StyleLike | None, seed: int | None) -> Style:
    """Return the style of an example image, or that of a seed; the default one if both are None.

    Raises ModelError for a model without styles, for an example whose style encoder is missing or of another training
    state than the file that was opened, and for numbers of a wrong length; ImageError for an image that cannot be read,
    and ValueError for both a style and a seed, or a seed outside its range.
    """
    usual, path = default(spec), opened.path
    if usual is None or spec.style is None:
        raise ModelError(
            f"{printable(path)} has no styles, only one result of an image: leave out style, seed and results"
        )
    if style is not None and seed is not None:
        raise ValueError("a style and a seed: give one of them, since a seed draws a style")
    if seed is not None:
        return Style(_seeded(spec, seed), f"seed{seed}")
    if style is None:
        return usual
    if not isinstance(style, np.ndarray):
        file = Path(style)
        name = re.sub(r"[^\w.-]+", "-", file.stem)
        return Style(_of_example(spec, opened, read_image(file)), f"like-{name}")
    if style.dtype.kind != "f":
        (image, *more) = processing.to_images(style, "a style", spec.target)
        if more:
            raise ModelError(f"a style is taken from one image, and these are {1 + len(more)}")
        return Style(_of_example(spec, opened, image), "like-example")
    values = np.asarray(style, np.float32).ravel()
    if len(values) != spec.style.length or not np.isfinite(values).all():
        raise ModelError(
            f"a style of {printable(path)} is {spec.style.length} finite numbers, float32 [{spec.style.length}], and "
            f"these are {style.dtype} {list(style.shape)}"
        )
    return Style(tuple(values.tolist()), "own")


def encoder_path(path: Path, precision: str = "fp32") -> Path:
    """Return the file of the style encoder of a translator's file, which is one for all precisions."""
    return path.with_name(f"{path.stem.removesuffix(f'.{precision}')}.style.onnx")


def _seeded(spec: Spec, seed: int) -> tuple[float, ...]:
    assert spec.style is not None
    return tuple(sampling.latent(spec.style, [seed])[0].tolist())


def _of_example(spec: Spec, opened: OpenedFile, image: Image) -> tuple[float, ...]:
    path = opened.unchanged()
    file = encoder_path(path, spec.precision)
    if not file.is_file():
        raise ModelError(
            f"{printable(file)} is missing, which finds the style of an image: keep it beside {printable(path.name)} "
            "(`i2i export` writes both), or give a seed instead"
        )
    found = read_spec(file)
    if found is None or found.kind != STYLE_ENCODER or found.recipe != spec.recipe:
        raise ModelError(
            f"{printable(file)} is not the style encoder of {printable(path.name)}, or of another training state: "
            "export the run again"
        )
    session = open_session(file, "cpu")
    spec_check.check(found, session, file)
    pixels = _reduced(processing.prepare(image, found))
    (style,) = session.run({session.inputs[0].name: pixels[None]})
    if not np.isfinite(style).all():
        raise ModelError(f"{printable(file)} gives no finite style for this image; export an earlier state of the run")
    return tuple(style[0].tolist())


def _reduced(pixels: np.ndarray) -> np.ndarray:
    """Return [h, w, c] with at most ``LARGEST`` pixels a side."""
    height, width = pixels.shape[:2]
    scale = LARGEST / max(height, width)
    if scale >= 1:
        return pixels
    return resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)), cv2.INTER_AREA)
