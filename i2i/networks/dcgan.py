"""Networks of DCGAN (Radford et al. 2016, arXiv:1511.06434), between a latent vector and an image of a fixed size."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from i2i.networks.blocks import RunningNorm2d, initialise, leaky_relu, norm_layer, relu
from i2i.networks.minibatch import MinibatchDiscrimination

START = 4  # least side of the smallest map


def doublings(height: int, width: int, least: int = START) -> int:
    """Return how often the smallest map, of sides from ``least``, is doubled for an image of that size.

    Raises ValueError for a size that is not even and at least twice ``least``.
    """
    steps = 0
    while height % 2 == width % 2 == 0 and min(height, width) >= 2 * least:
        height, width, steps = height // 2, width // 2, steps + 1
    if not steps:
        raise ValueError(
            f"size is {height}x{width}; this network doubles a small map, so height and width must be even and at "
            f"least {2 * least}: 28, 32 or 64, or 64x96"
        )
    return steps


class DCGANGenerator(nn.Module):
    """Latent vector z [n, latent], with labels c [n, conditions] if it has any, to an image [n, c, h, w] in [-1, 1].

    Args:
        latent: numbers of z.
        out_channels: of the image.
        height, width: of the image.
        ngf: filters of the last hidden map; they double per halving of the map, to 8 * ngf.
        conditions: numbers of c, which are joined to z (Mirza & Osindero 2014, arXiv:1411.1784).
    """

    minimum, multiple, receptive_field = 1, 1, None

    def __init__(
        self, latent: int, out_channels: int = 3, *, height: int = 64, width: int = 64, ngf: int = 64,
        conditions: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        steps = doublings(height, width)
        widths = [ngf * min(8, 2 ** (steps - 1 - step)) for step in range(steps)]
        self.start = (widths[0], height >> steps, width >> steps)
        self.project = nn.Linear(latent + conditions, widths[0] * self.start[1] * self.start[2], bias=False)
        layers: list[nn.Module] = [RunningNorm2d(widths[0]), relu()]
        for before, after in pairwise(widths):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), RunningNorm2d(after), relu()]
        layers += [nn.ConvTranspose2d(widths[-1], out_channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        given = z if c is None else torch.cat([z, c], 1)
        return self.layers(self.project(given).unflatten(1, self.start))


class DCGANDiscriminator(nn.Module):
    """Image [n, c, h, w] in [-1, 1], with labels c [n, conditions] if it has any, to logits [n, outputs].

    Labels add c V phi(x) to the logits, where phi(x) is the last map: a projection (Miyato & Koyama 2018,
    arXiv:1802.05637, equation 3). Joined to the map instead, they act on the image's score only through the curvature
    of the next activation, and G ignored them: after 600 steps on MNIST 9 % of its digits were those asked for, against
    61 % with a projection.

    Args:
        in_channels: of the image.
        height, width: of the image.
        ndf: filters of the first map; they double per halving, to 8 * ndf.
        norm: batch | instance | none; a gradient penalty needs one that does not mix the images of a batch.
        conditions: numbers of c.
        outputs: numbers for each image.
        minibatch: kernels of minibatch discrimination before the last layer; 0: none.
    """

    def __init__(
        self, in_channels: int = 3, *, height: int = 64, width: int = 64, ndf: int = 64, norm: str = "batch",
        conditions: int = 0, outputs: int = 1, minibatch: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        steps = doublings(height, width)
        widths = [ndf * min(8, 2**step) for step in range(steps)]
        layers: list[nn.Module] = [nn.Conv2d(in_channels, widths[0], 4, 2, 1), leaky_relu()]
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none"), norm_layer(norm, after), leaky_relu()]
        self.body = nn.Sequential(*layers)
        self.channels = widths[-1]
        """Filters of the last map."""
        self.features = widths[-1] * (height >> steps) * (width >> steps)
        """Numbers of the last map, which ``body`` returns."""
        self.labels = nn.Linear(conditions, self.features, bias=False) if conditions else None
        self.crowd = MinibatchDiscrimination(self.features, minibatch) if minibatch else nn.Identity()
        self.head = nn.Linear(self.features + minibatch, outputs)
        initialise(self)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        features = self.embed(x, c)
        logits = self.head(self.crowd(features))
        return logits if self.labels is None else logits + (self.labels(c) * features).sum(1, keepdim=True)

    def embed(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Return the last map as features [n, features]. They are those of the image alone, whatever c is."""
        return self.body(x).flatten(1)
