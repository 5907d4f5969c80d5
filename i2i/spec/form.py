"""Meaning of a third-party model's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

LAYOUTS = ("nchw", "nhwc")
ORDERS = ("rgb", "bgr", "grey", "y")
RESULTS = ("image", "curves")
FITS = ("resize", "tile")
DTYPES = ("float32", "float16", "uint8")
MASKS = ("mask", "kept")
"""Words for an input that is the mask of what is to be filled in: 1 in its holes, or 1 in the rest."""
Input = float | tuple[float, ...] | str
"""A number that fills an input, all of its numbers, or one of ``MASKS``."""


@dataclass(frozen=True)
class Form:
    """Meaning of a third-party graph's tensors (``io="described"``): one image in, perhaps constants or a mask beside
    it, and one image out.

    Raises ValueError for meaningless values.
    """

    layout: str
    """``nchw`` or ``nhwc``."""
    order: str
    """Channel order: ``rgb`` or ``bgr``, followed by alpha; ``grey``; or ``y``, the full-range Rec. 601 luma (as in
    JPEG), where the model only changes luma and the colour is taken from the source.
    """
    range: tuple[float, float]
    """Input values of black and white."""
    output_range: tuple[float, float]
    """Output values of black and white."""
    dtype: str = "float32"
    """Type of the input: ``float32``, ``float16`` or ``uint8``."""
    scale: int = 1
    """Upscaling factor: height and width of the output over those of the input."""
    size: tuple[int, int] | None = None
    """Fixed height and width of the graph; None: any, by the Spec's ``minimum`` and ``multiple``."""
    fit: str = "resize"
    """Treatment of other sizes: ``resize`` there and back, or ``tile`` in overlapping parts."""
    result: str = "image"
    """Output: ``image``, or ``curves``: maps r of Zero-DCE, applied as x + r (x^2 - x), 8 times over."""

    inputs: tuple[tuple[str, Input], ...] = ()
    """Name and value of each input beside the image."""

    @property
    def masked(self) -> bool:
        """True if the graph fills holes: an input is their mask, which is an image's alpha channel."""
        return any(value in MASKS for _, value in self.inputs)

    def __post_init__(self) -> None:
        inputs = [(str(name), tuple(value) if isinstance(value, list) else value) for name, value in self.inputs]
        object.__setattr__(self, "inputs", tuple(inputs))
        if self.masked and self.order not in ("rgb", "bgr"):
            raise ValueError(f"order is {self.order!r}, and a model with a mask takes rgb or bgr")
        for name, known in (
            ("layout", LAYOUTS),
            ("order", ORDERS),
            ("result", RESULTS),
            ("fit", FITS),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(known)}")
        for name in ("range", "output_range"):
            low, high = map(float, getattr(self, name))
            if not (isfinite(low) and isfinite(high) and low != high):
                raise ValueError(f"{name} is {low:g}..{high:g}; expected two numbers that differ")
            object.__setattr__(self, name, (low, high))
        height, width = map(int, self.size or (1, 1))
        if self.size is not None:
            object.__setattr__(self, "size", (height, width))
        if min(self.scale, height, width) < 1:
            raise ValueError(f"size {self.size} and scale {self.scale} must be at least 1")
