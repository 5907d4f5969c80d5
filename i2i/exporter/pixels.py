"""Pixels in, pixels out: what a program without PyTorch would otherwise have to do around the network, in the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from i2i.spec import Spec

# A sum over an image is beyond this, or no number at all, as soon as one value in it is infinite or not a number.
LARGEST = torch.finfo(torch.float32).max


def checkerboard(h: int, w: int) -> Tensor:
    """What stands for an image that is not finite, which uint8 cannot say: 255 where row + column is odd, else 0.

    Returns uint8 [h, w].
    """
    odd = (torch.arange(h) % 2)[:, None] != torch.arange(w) % 2
    return torch.where(odd, torch.tensor(255, dtype=torch.uint8), torch.tensor(0, dtype=torch.uint8))


class Pixels(nn.Module):
    """A network between pixels: [n, h, w, c] of the source domain to [n, h, w, c'] of the target domain.

    Values are 0..peak of their domain, as uint8 where ``spec.dtype`` says so and as float32 elsewhere (not rounded).
    An image smaller than the network takes is enlarged by its border pixels, one that is no multiple of what the
    network divides by is reflected, and the result is cropped back: any size from 1x1 returns as that size.

    A network of several domains (``Toward``) takes ``target`` as well.

    An image whose result is not finite comes back as a checkerboard (uint8) or as NaN (float32), the whole of it,
    and the others of its batch as they are.
    """

    def __init__(self, net: nn.Module, spec: Spec) -> None:
        super().__init__()
        self.net = net
        self.source_peak, self.target_peak = spec.source.peak, spec.target.peak
        self.multiple = spec.multiple
        # Reflection needs fewer pixels than the image has, so a small image grows to where that holds.
        self.least = max(spec.minimum, spec.multiple // 2 + 1)
        self.whole_numbers = spec.dtype == "uint8"
        self.dtype = torch.float32  # that of the network

    def forward(self, image: Tensor, target: Tensor | None = None) -> Tensor:
        x = image.permute(0, 3, 1, 2).to(self.dtype) / (self.source_peak / 2) - 1  # [n, c, h, w] in [-1, 1]
        h, w = x.shape[-2:]
        y = self.net(self.enlarge(x)) if target is None else self.net(self.enlarge(x), target)
        if self.least > 1:
            y = y[..., :h, :w]
        finite = y.sum((1, 2, 3), keepdim=True).abs() <= LARGEST  # [n, 1, 1, 1]; a comparison with NaN is false
        y = ((y + 1) * (self.target_peak / 2)).clamp(0, self.target_peak)
        if self.whole_numbers:
            y = torch.where(finite, y.round().to(torch.uint8), checkerboard(y.shape[-2], y.shape[-1]))
        else:
            y = torch.where(finite, y, torch.nan)  # ONNX Runtime's Clip does not promise to let NaN through
        return y.permute(0, 2, 3, 1)

    def enlarge(self, x: Tensor) -> Tensor:
        """``x`` with rows and columns added below and to the right, until the network takes it."""
        if self.least > 1:
            h, w = x.shape[-2:]
            x = pad(x, (0, max(w, self.least) - w, 0, max(h, self.least) - h), mode="replicate")
        if self.multiple > 1:
            h, w = x.shape[-2:]
            x = pad(x, (0, -w % self.multiple, 0, -h % self.multiple), mode="reflect")
        return x


class Toward(nn.Module):
    """A network of (x, c) that is told its domain as the file's users say it: [n, c, h, w] and ``target`` to the same.

    ``target`` is an index into ``spec.domains``, int64 [n], of which c is the one-hot vector; or, where the domains are
    ``spec.attributes``, float32 [n, domains] from 0 to 1, which is c. An image whose target is nothing of the kind (an
    index that no domain has, attributes of -1) comes back as NaN: a network makes some picture of any vector.
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
