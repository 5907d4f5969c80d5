"""Images as the values of a domain: training and translation read through this one module."""

from __future__ import annotations

import numpy as np

from i2i.images.alpha import seen
from i2i.images.image import Image, convert, kind_of
from i2i.spec import Background, Domain
from i2i.text import format_range, plural

_SHOWN = 8  # ranges that a text lists


def values_of(image: Image, domain: Domain, background: Background) -> np.ndarray:
    """Return the image's values in the form of a domain, [h, w, channels] of its type; they may be out of its range.

    A picture is converted. Alpha is a fourth channel where the domain has one, else what is transparent is seen over
    the ``background``. Raises ValueError where the image and the domain are not both pictures, or not the same bands,
    and for a picture of other bits than those of the domain's range.
    """
    fits = not domain.bands and not image.bands and (domain.range is None or image.bits == domain.bits)
    if not fits and (image.bands, image.channels) != (domain.bands, domain.channels):
        ranged = f" in {describe_ranges(domain)}" if domain.range else ""
        raise ValueError(f"it has {image.kind}, and {kind(domain)}{ranged} is expected; nothing says how to convert it")
    if domain.bands:
        return image.pixels
    if not domain.alpha:
        return convert(seen(image, background), domain.channels, domain.bits)
    colours = convert(image.pixels, 3, domain.bits)
    if image.alpha is None:
        alpha = np.full(colours.shape[:2], domain.peak, colours.dtype)
    else:
        alpha = convert(image.alpha[..., None], 1, domain.bits)[..., 0]
    return np.dstack([colours, alpha])


def kind(domain: Domain) -> str:
    """Return the kind of a domain's images in words."""
    if domain.bands:
        return kind_of(domain.bands, domain.channels)
    colours = {1: "grey", 3: "RGB", 4: "RGBA"}.get(domain.channels) or plural(domain.channels, "channel")
    return f"{domain.bits}-bit {colours}"


def clipped(values: np.ndarray, domain: Domain) -> np.ndarray:
    """Return values [..., channels] within the range of a domain; ``values`` itself where that is all of their type."""
    if domain.range is None:
        return values
    low, high = np.array(domain.range, values.dtype).T
    return np.clip(values, low, high)


def beyond(values: np.ndarray, domain: Domain) -> tuple[str, ...]:
    """Return the name of what clipping loses of values [..., channels]; none where all are in range."""
    if domain.range is None:
        return ()
    low, high = np.array(domain.range, values.dtype).T
    return (f"values beyond {describe_ranges(domain)}",) if bool(((values < low) | (values > high)).any()) else ()


def describe_ranges(domain: Domain) -> str:
    """Return the ranges of a domain in words."""
    shown = [format_range(pair) for pair in domain.ranges[:_SHOWN]]
    more = len(domain.ranges) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def scale(domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Return ``low`` and ``half``, float32 [1] or [channels]: a network sees values v as (v - low) / half - 1."""
    return np.array([low for low, _ in domain.ranges], np.float32), np.array(domain.half, np.float32)
