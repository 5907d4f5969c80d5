"""Discriminators of one image at several scales (pix2pixHD: Wang et al. 2018, arXiv:1711.11585, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


class MultiScale(nn.ModuleList):
    """Discriminators of an image [n, c, h, w] in [-1, 1], each at half the scale of the one before."""

    def __init__(self, discriminators: Iterable[nn.Module]) -> None:
        super().__init__(discriminators)
        # a discriminator of the smallest image says what is too small for it, and not how small it was at first
        self.remembers = any(getattr(D, "remembers", False) for D in self)  # see i2i.gan.scored
        self.smallest = max((getattr(D, "smallest", 1) << level for level, D in enumerate(self)), default=1)

    def forward(self, x: Tensor, *of: Any) -> list[Tensor]:
        """Return the logits of each scale, [n, 1, h', w'], no sigmoid. Raises ValueError for small images.

        A discriminator that ``remembers`` is given the other arguments.
        """
        pairs = zip(self, self.pyramid(x), strict=True)
        return [D(each, *of) if getattr(D, "remembers", False) else D(each) for D, each in pairs]

    def features(self, x: Tensor) -> list[list[Tensor]]:
        """Return the hidden maps and the logits of each scale, of discriminators that have ``features``."""
        found: list[Any] = list(self)
        return [D.features(each) for D, each in zip(found, self.pyramid(x), strict=True)]

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Return the image at each scale."""
        if min(x.shape[-2:]) < self.smallest:
            raise ValueError(
                f"discriminators at {len(self)} scales need images of at least {self.smallest} x {self.smallest} "
                f"pixels, and these are {x.shape[-1]} x {x.shape[-2]}: train on larger ones (--size), or set fewer "
                "layers or scales (--set discriminator=patch_2x2)"
            )
        images = [x]
        while len(images) < len(self):
            images.append(avg_pool2d(images[-1], 3, 2, 1, count_include_pad=False))
        return images
