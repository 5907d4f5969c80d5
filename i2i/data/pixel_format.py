"""The form that the images of a domain share: channels, bits, alpha."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from i2i.data.facts import Facts
from i2i.images import Image, convert, seen
from i2i.spec import EDGE, Background, Domain


def domain_of(name: str, found: Sequence[Facts], channels: str | int) -> Domain:
    """Return the common form of a domain's images; with channels "auto", grey if all of them are grey."""
    if channels == "auto":
        channels = 1 if all(fact.channels == 1 for fact in found) else 3
    return Domain(name, int(channels), 16 if all(fact.bits == 16 for fact in found) else 8)


def form_of(domain: Domain, found: Iterable[Facts], background: Background) -> str:
    """Describe the form of a domain in words."""
    colour = {1: "grey", 3: "RGB", 4: "RGBA"}[domain.channels]
    form = f"{domain.bits}-bit {colour}"
    if domain.channels != 4 and (clear := sum(fact.transparent for fact in found)):
        where = "filled from the visible colours" if background == EDGE else f"on a grey of {background}"
        form += f" ({clear} with transparency, {where})"
    return form


def in_form(image: Image, domain: Domain, background: Background) -> np.ndarray:
    """Return the image's pixels in the form of its domain, [h, w, channels].

    Alpha is a fourth channel where the domain has one, else what is transparent is seen over the ``background``.
    """
    if domain.channels != 4:
        return convert(seen(image, background), domain.channels, domain.bits)
    colour = convert(image.pixels, 3, domain.bits)
    if image.alpha is None:
        alpha = np.full(colour.shape[:2], domain.peak, colour.dtype)
    else:
        alpha = convert(image.alpha[..., None], 1, domain.bits)[..., 0]
    return np.dstack([colour, alpha])
