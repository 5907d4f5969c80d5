"""A network between pixels: conversion, padding and cropping as part of the exported graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from i2i.images.derive import HOLE
from i2i.spec import Domain, Spec
from i2i.words import FIRST

# A sum over an image exceeds this, or is NaN, as soon as one value in it is infinite or NaN.
LARGEST = torch.finfo(torch.float32).max


def checkerboard(h: int, w: int) -> Tensor:
    """Return the mark of a result that is not finite in uint8: 255 where row + column is odd, else 0, uint8 [h, w]."""
    odd = (torch.arange(h) % 2)[:, None] != torch.arange(w) % 2
    return torch.where(odd, torch.tensor(255, dtype=torch.uint8), torch.tensor(0, dtype=torch.uint8))


class Values(nn.Module):
    """Conversion between the values of a domain's images and those of a network, [n, c, h, w] in [-1, 1].

    The range is a constant of the graph where it is one for all channels.
    """

    low: Any
    high: Any
    scale: Any

    def __init__(self, domain: Domain, whole_numbers: bool) -> None:
        super().__init__()
        self.whole_numbers, self.clips = whole_numbers, domain.range is not None
        low, high = zip(*domain.ranges, strict=True)
        for name, values in (("low", low), ("high", high), ("scale", domain.half)):
            if len(values) == 1:
                setattr(self, name, values[0])
            else:
                self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def to_network(self, image: Tensor, dtype: torch.dtype) -> Tensor:
        """Return pixels [n, h, w, c] as the network sees them; values beyond the range are clipped."""
        x = image.permute(0, 3, 1, 2).to(dtype)
        if self.clips:
            x = x.clamp(self.low, self.high) - self.low
        return x / self.scale - 1

    def to_pixels(self, y: Tensor) -> Tensor:
        """Return results of the network as [n, h, w, c]: uint8 if ``whole_numbers``, else float32 in the range.

        An image with a value that is not finite becomes a checkerboard, or NaN.
        """
        finite = y.sum((1, 2, 3), keepdim=True).abs() <= LARGEST  # [n, 1, 1, 1]; a comparison with NaN is false
        y = (y + 1) * self.scale
        if self.clips:
            y = y + self.low
        y = y.clamp(self.low, self.high)
        if self.whole_numbers:
            y = torch.where(finite, y.round().to(torch.uint8), checkerboard(y.shape[-2], y.shape[-1]))
        else:
            y = torch.where(finite, y, torch.nan)  # ONNX Runtime's Clip does not guarantee to pass NaN on
        return y.permute(0, 2, 3, 1)


class Drawn(nn.Module):
    """A generator as a function of z, and of a text or a target, that returns pixels; see ``Values``."""

    def __init__(self, net: nn.Module, spec: Spec) -> None:
        super().__init__()
        self.net, self.target = net, Values(spec.target, spec.dtype == "uint8")
        self.dtype = torch.float32  # that of the network

    def forward(self, z: Tensor, given: Tensor | None = None) -> Tensor:
        z = z.to(self.dtype)
        y = self.net(z) if given is None else self.net(z, given)
        return self.target.to_pixels(y)


class Pixels(nn.Module):
    """A network between pixels: [n, h, w, c] of the source domain to [n, h, w, c'] of the target domain.

    Values are in the range of their domain, uint8 if ``spec.dtype`` is, else float32 (not rounded). An image smaller
    than the network's minimum is padded with its border pixels; one that is not a multiple of the network's divisor is
    reflected; the result is cropped back, so any size from 1x1 returns as that size.

    A network of several domains (``WithTarget``) also takes ``target``, and one with styles ``style``.

    An image whose result is not finite returns as a checkerboard (uint8) or as NaN (float32); the others of its batch
    are unaffected.
    """

    def __init__(self, net: nn.Module, spec: Spec) -> None:
        super().__init__()
        self.net = net
        self.source, self.target = (Values(each, spec.dtype == "uint8") for each in (spec.source, spec.target))
        self.multiple = spec.multiple
        # Reflection needs fewer pixels than the image has, so a small image grows to where that holds.
        self.least = max(spec.minimum, spec.multiple // 2 + 1)
        self.dtype = torch.float32  # that of the network
        self.inpaints = spec.inpaints
        level = round(HOLE * spec.source.peak) / spec.source.peak * 2 - 1
        self.hole = (level, level, level, -1.0)

    def forward(self, image: Tensor, given: Tensor | None = None) -> Tensor:
        x = self.numbers(image)
        if self.inpaints:  # where alpha is 0 the network sees one colour, whatever the file stores there
            x = torch.where(x[:, 3:] <= -1, x.new_tensor(self.hole)[:, None, None], x)
        h, w = x.shape[-2:]
        if given is not None and given.is_floating_point():
            given = given.to(self.dtype)
        y = self.net(self.enlarge(x)) if given is None else self.net(self.enlarge(x), given)
        if self.least > 1:
            y = y[..., :h, :w]
        return self.target.to_pixels(y)

    def numbers(self, image: Tensor) -> Tensor:
        """Return pixels [n, h, w, c] as [n, c, h, w] in [-1, 1]."""
        return self.source.to_network(image, self.dtype)

    def enlarge(self, x: Tensor) -> Tensor:
        """Pad ``x`` below and to the right to a size that the network takes."""
        if self.least > 1:
            h, w = x.shape[-2:]
            x = pad(x, (0, max(w, self.least) - w, 0, max(h, self.least) - h), mode="replicate")
        if self.multiple > 1:
            h, w = x.shape[-2:]
            x = pad(x, (0, -w % self.multiple, 0, -h % self.multiple), mode="reflect")
        return x


class Styles(Pixels):
    """A style encoder as a function of pixels: [n, h, w, c] of its domain to styles [n, length]."""

    def forward(self, image: Tensor, given: Tensor | None = None) -> Tensor:
        return self.net(self.enlarge(self.numbers(image)))


class WithText(nn.Module):
    """A generator of (z, text), whose image of a text with an invalid id returns as NaN."""

    def __init__(self, net: nn.Module, spec: Spec) -> None:
        super().__init__()
        assert spec.prior is not None
        self.net, self.last = net, FIRST + len(spec.prior.vocabulary) - 1

    def forward(self, z: Tensor, text: Tensor) -> Tensor:
        known = ((text >= 0) & (text <= self.last)).all(1)
        return torch.where(known[:, None, None, None], self.net(z, text.clamp(0, self.last)), torch.nan)


class WithTarget(nn.Module):
    """A network of (x, c) with an input ``target``, which is c as the file's users give it.

    ``target`` is an index into ``spec.domains``, int64 [n], of which c is the one-hot vector; or, for
    ``spec.attributes``, float32 [n, domains] from 0 to 1, which is c. An image with an invalid target (an unknown
    index, attributes of -1) returns as NaN: a network makes some picture of any vector.
    """

    def __init__(self, net: nn.Module, spec: Spec) -> None:
        super().__init__()
        self.net, self.domains, self.attributes = net, len(spec.domains), spec.attributes

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        if self.attributes:
            c, known = target, ((target >= 0) & (target <= 1)).all(1)
        else:
            c, known = target[:, None] == torch.arange(self.domains), (target >= 0) & (target < self.domains)
        return torch.where(known[:, None, None, None], self.net(x, c.to(x.dtype)), torch.nan)
