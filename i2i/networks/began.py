"""Networks of BEGAN (Berthelot, Schumm & Metz 2017, arXiv:1703.10717, section 3.5): an encoder and a decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from i2i.networks.dcgan import doublings

LEAST = 8  # least side of the smallest map


def _convolutions(before: int, after: int) -> list[nn.Module]:
    """Two 3x3 convolutions with ELU; the second widens the map."""
    return [nn.Conv2d(before, before, 3, padding=1), nn.ELU(), nn.Conv2d(before, after, 3, padding=1), nn.ELU()]


class BEGANDecoder(nn.Module):
    """Vector z [n, latent], with labels c [n, conditions] if it has any, to an image [n, c, h, w] in [-1, 1].

    Maps are doubled by repeating pixels. The authors' last layer is linear; here a tanh follows, so that images stay
    in [-1, 1]. D's decoder is without it: a tanh that is saturated at the colour of a plain background would not learn.

    Args:
        latent: numbers of z.
        out_channels: of the image.
        height, width: of the image.
        filters: of every map.
        conditions: numbers of c, which are joined to z.
        tanh: False for a linear last layer.
    """

    minimum, multiple, receptive_field = 1, 1, None

    def __init__(
        self, latent: int, out_channels: int = 3, *, height: int = 64, width: int = 64, filters: int = 64,
        conditions: int = 0, tanh: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        steps = doublings(height, width, LEAST)
        self.start = (filters, height >> steps, width >> steps)
        self.project = nn.Linear(latent + conditions, filters * self.start[1] * self.start[2])
        layers = _convolutions(filters, filters)
        for _ in range(steps):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), *_convolutions(filters, filters)]
        layers += [nn.Conv2d(filters, out_channels, 3, padding=1), nn.Tanh() if tanh else nn.Identity()]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        given = z if c is None else torch.cat([z, c], 1)
        return self.layers(self.project(given).unflatten(1, self.start))


class BEGANAutoencoder(nn.Module):
    """D: the image [n, c, h, w] that a code of ``code`` numbers retains of an image [n, c, h, w].

    The encoder halves maps by strides and gives each scale ``filters`` more filters than the last. The decoder is that
    of G, with weights of its own. Labels c [n, conditions] are joined to the code.
    """

    def __init__(
        self, channels: int = 3, *, height: int = 64, width: int = 64, filters: int = 64, code: int = 64,
        conditions: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        steps = doublings(height, width, LEAST)
        layers: list[nn.Module] = [nn.Conv2d(channels, filters, 3, padding=1), nn.ELU()]
        for scale in range(1, steps + 1):
            layers += [
                *_convolutions(scale * filters, (scale + 1) * filters),
                nn.Conv2d((scale + 1) * filters, (scale + 1) * filters, 3, stride=2, padding=1), nn.ELU(),
            ]  # fmt: skip
        last = (steps + 1) * filters
        layers += [*_convolutions(last, last), nn.Flatten()]
        self.encoder = nn.Sequential(*layers, nn.Linear(last * (height >> steps) * (width >> steps), code))
        self.decoder = BEGANDecoder(
            code, channels, height=height, width=width, filters=filters, conditions=conditions, tanh=False
        )

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.decoder(self.encoder(x), c)
